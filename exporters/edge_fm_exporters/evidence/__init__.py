"""Judge measured figures: intervals, and findings about a model and its data."""
