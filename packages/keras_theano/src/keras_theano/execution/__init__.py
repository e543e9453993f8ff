"""What runs a recorded step: programs, and the tiers that they run in."""
