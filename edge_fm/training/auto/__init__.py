"""Choose a model for a folder of pictures: try candidates by cross-validation, take the smallest good one."""
