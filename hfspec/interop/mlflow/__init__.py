"""Artifacts in MLflow's tracking store and registry, and back, with every byte as it was."""
