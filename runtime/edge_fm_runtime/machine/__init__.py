"""What this machine has and how fast it is: doctor, hardware, bench."""
