"""The arguments of ``hfspec.load`` that MLflow's ``model_config`` carries beside settings, all of them, and the module that takes them."""

LOADER = "hfspec.runtime.mlflow_model"  # as MLmodel's python_function flavor names it
LOAD_ARGUMENTS = (
    "backend",
    "device",
    "device_map",
    "dtype",
    "expect_fingerprint",
    "outputs",
    "sources",
    "threads",
    "trust_remote_code",
    "verify",
)
