"""The arguments that MLflow hands to ``hfspec.load``: all that it has besides settings."""

LOADER = "hfspec.runtime.mlflow_model"  # as MLmodel's python_function flavor names it
LOAD_ARGUMENTS = (
    "backend",
    "device",
    "device_map",
    "dtype",
    "expect_fingerprint",
    "keep_memory",
    "outputs",
    "patches",
    "sources",
    "threads",
    "trust_remote_code",
    "verify",
)
