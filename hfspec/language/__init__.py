"""The spec language: YAML 1.2 with positions, Hydra composition, the JSON Schema."""
