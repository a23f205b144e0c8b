"""Choose a model for a folder of pictures, by cross-validation."""
