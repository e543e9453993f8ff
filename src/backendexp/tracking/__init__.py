"""Writes results to MLflow and reads them back."""
