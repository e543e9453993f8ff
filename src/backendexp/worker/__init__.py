"""Contains the code that runs inside a worker, which serves one Keras backend and one training run a process.

Everything in this folder runs on Python 3.7 (Keras 2.3.1) and on Python 3.11 and newer (Keras 3),
imports only the standard library, numpy and keras, and never imports the rest of backendexp.
"""
