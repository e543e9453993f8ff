"""Brings a model of Keras 1 or 2 into Keras 3, and proves that it computes the same.

archive → config → plan → (workers) → comparison → report. Nothing here imports Keras, and nothing runs code
that a file brings with it.
"""
