"""The symbolic twins of Keras's NumPy functions: the same names and arguments, Tensors in and out.

Each module names its functions as keras.src.backend.numpy names them. What is missing here raises
NotImplementedError in a trace.
"""
