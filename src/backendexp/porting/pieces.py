"""What a layer becomes in Keras 3: a chain of stock layers, their weights, and notes for the user."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# How what an optimizer keeps of a weight is changed if the weight is: (array, power) -> array. If a weight
# grows by a factor, its steps grow by it too (power 1), its gradients shrink by it (-1), and the squares of
# these twice (-2).
Likewise = Callable[[Any, int], Any]


def rearranged(how: Callable[[Any], Any]) -> Likewise:
    """How the state follows a weight whose numbers were only put in another order."""
    return lambda state, power: how(state)


@dataclass(frozen=True)
class Piece:
    """A layer of Keras 3.

    kind: its class in keras.layers, or the name of a class or function of the user's.
    config: the arguments of its constructor, without name.
    arrays: its weights, in the order of Keras 3. None: the layer keeps those of `inner`, or has none.
    inner: the layers that it wraps, which are arguments of its constructor, by name.
    custom: whether the class, or the function, is one of the user's.
    model: the planned model, if the piece is a model.
    """

    kind: str
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    arrays: tuple[Any, ...] | None = None
    inner: dict[str, "Piece | tuple[Piece, ...]"] = field(default_factory=dict)
    custom: bool = False
    trainable: bool = True
    model: Any = None


@dataclass
class Context:
    """What the mapping of a layer depends on, and what it has to say.

    backend: the backend that the file was saved on.
    generation: of the Keras that wrote the file.
    custom: the names that the user's file defines.
    tf_keras: whether tf.keras wrote the file. tensorflow_2: whether that of TensorFlow 2 did.
    notes: what the user should know, by the name of the layer.
    reasons: why the outputs of a layer may differ, by the name of the layer.
    made: the weights that were changed, by the id of the new array: the new array, the one that it was made
        of, and how what an optimizer keeps of it is changed likewise, or None if there is no such way.
    """

    backend: str | None
    generation: int
    custom: frozenset[str] = frozenset()
    tf_keras: bool = False
    tensorflow_2: bool = False
    notes: list[tuple[str, str]] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    made: dict[int, tuple[Any, Any, Likewise | None]] = field(default_factory=dict)

    @property
    def mirrored(self) -> bool:
        """Whether the kernels of convolutions are mirrored. Theano computes a true convolution."""
        return self.backend == "theano"

    def note(self, layer: str, text: str) -> None:
        if (layer, text) not in self.notes:
            self.notes.append((layer, text))

    def note_once(self, layer: str, text: str) -> None:
        """Note what holds for several layers at the first of them."""
        if all(text != known for _, known in self.notes):
            self.note(layer, text)

    def changed(self, new: Any, old: Any, likewise: Likewise | None = None) -> Any:
        """Note that a weight was changed, and return the new one."""
        if new is not old:
            self.made[id(new)] = (new, old, likewise)
        return new

    def may_differ(self, layer: str, why: str) -> None:
        self.reasons.setdefault(layer, why)
