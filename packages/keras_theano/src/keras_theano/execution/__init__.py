"""Runs a recorded step: programs, and the tiers in which they run."""
