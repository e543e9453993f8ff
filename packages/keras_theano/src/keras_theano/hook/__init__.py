"""Makes the backend `theano` known to Keras, and describes the differences between versions of Keras.

The file `keras_theano.pth` calls `install` whenever Python starts.
"""

from keras_theano.hook.finder import install as install
