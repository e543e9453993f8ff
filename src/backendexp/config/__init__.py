"""Types and checks the configuration that Hydra composes, before anything slow is imported."""
