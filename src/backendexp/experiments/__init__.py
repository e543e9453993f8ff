"""Experiments, which make their own runs by a design and draw a conclusion from them."""
