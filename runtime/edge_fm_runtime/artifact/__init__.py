"""The model file and all that it says: passport, container, input, session."""
