"""Where results go: MLflow, or memory."""
