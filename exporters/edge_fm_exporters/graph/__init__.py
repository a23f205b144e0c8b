"""Clean, edit and summarise ONNX graphs."""
