"""What is ONNX Runtime's generate() API's own: models as ONNX graphs beside a genai_config.json, run without torch."""
