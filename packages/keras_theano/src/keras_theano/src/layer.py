"""The mixin of every Keras layer: this backend adds nothing."""


class TheanoLayer:
    pass


BackendLayer = TheanoLayer  # Keras 3.16's name
