"""The class that every Keras layer inherits from its backend. This backend adds nothing to it."""


class TheanoLayer:
    pass


BackendLayer = TheanoLayer  # the name that Keras 3.16 looks for
