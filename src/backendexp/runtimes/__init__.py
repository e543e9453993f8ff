"""The Python environments that workers run in: found, probed, and built on first use."""
