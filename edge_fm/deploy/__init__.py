"""Pack models for a device: bundle, wheels, bill of materials, systemd units."""
