"""The tier that compiles a step by itself. It turns a graph and the shapes of one batch into machine code.

lowering        graph and shapes -> values: loops and products whose sizes are numbers
fusion          values -> groups: what one loop computes
memory          groups -> places in one block of memory
module          groups and places -> LLVM's language, with one function for each distinct kernel
objects         LLVM's language -> machine code, which is kept on disk
segment         the machine code with its memory
step            runs segments, and NumPy in between for what has no rule here

LLVM is the only compiler that it needs, and it comes with llvmlite.
"""
