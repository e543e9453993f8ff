"""The configuration that Hydra composes, typed and checked before anything slow is imported."""
