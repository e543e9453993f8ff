"""Finds, probes and builds the Python environments that workers run in."""
