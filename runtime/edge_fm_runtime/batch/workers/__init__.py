"""Decode and classify in supervised processes."""
