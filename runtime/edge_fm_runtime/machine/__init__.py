"""Check this machine and measure its speed: doctor, hardware, bench."""
