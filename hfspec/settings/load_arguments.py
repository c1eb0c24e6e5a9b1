"""The arguments of ``hfspec.load`` that MLflow's ``model_config`` carries beside settings."""

LOAD_ARGUMENTS = ("backend", "device", "dtype", "outputs", "sources")
