"""How Keras comes to know the backend `theano`, and what differs between the versions of Keras.

`keras_theano.pth` calls `install` whenever Python starts.
"""

from keras_theano.hook.finder import install as install
