"""The mixin of every Keras layer: this backend adds nothing."""


class TheanoLayer:
    pass
