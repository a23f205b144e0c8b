"""Run the main workflow on samples that edge-fm includes."""
