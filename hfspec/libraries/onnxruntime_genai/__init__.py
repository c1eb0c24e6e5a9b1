"""ONNX Runtime's generate() API: models as ONNX graphs beside a genai_config.json, run without torch."""
