"""What a user does, from the outside: real engines, real MLflow, real Hydra, in processes of their own."""
