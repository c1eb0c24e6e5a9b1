"""ONNX graphs of a checkpoint: their headers, and whether the installed runtime knows their operators."""
