"""How pixels were scaled in training, and how to find it out."""
