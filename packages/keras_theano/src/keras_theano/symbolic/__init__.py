"""The symbolic counterparts of Keras's NumPy functions. They have the same names and arguments, and take and
return Tensors.

Each module has the function names of the module with the same name in Keras's NumPy backend. A function that
is missing here raises NotImplementedError in a trace.
"""
