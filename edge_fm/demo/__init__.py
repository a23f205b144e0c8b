"""Show the main job on the samples that ship in the box."""
