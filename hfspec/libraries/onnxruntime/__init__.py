"""Models as graphs that ONNX Runtime computes: what `format: onnx` makes, loads and answers with, without torch."""
