"""Read trained models, one module per format."""
