"""Model files: the passport, the `.onnx` container, its seal, and the onnxruntime session."""
