"""What is known of Keras's metrics: which of two values is the better one, and which difference is small.

A metric of a model with several outputs is named after its output, such as `left_accuracy`; a metric that
Keras has made before in the same process has a number, such as `auc_1`. Both are found by the rest.
"""

import enum
import re
from dataclasses import dataclass


class Better(enum.Enum):
    """Which of two values of a measure is the better one."""

    LESS = "less"
    MORE = "more"
    NEITHER = "neither"


@dataclass(frozen=True)
class MetricFacts:
    """
    margin: the difference that is too small to matter.
    relative: whether the margin is a share of the baseline's mean. Errors have the unit of the labels, or its
        square, so no fixed difference would suit all data. Shares and cross-entropies have no unit.
    decimals: digits after the point; None writes three significant digits.
    """

    better: Better
    margin: float
    relative: bool
    decimals: int | None


_SHARE = MetricFacts(Better.MORE, 0.05, relative=False, decimals=3)
_LOSS = MetricFacts(Better.LESS, 0.05, relative=False, decimals=4)
_ERROR = MetricFacts(Better.LESS, 0.05, relative=True, decimals=None)
# Counts grow with the number of samples, and nothing is known of metrics that are not Keras's own.
_MANY = MetricFacts(Better.MORE, 0.05, relative=True, decimals=None)
_UNKNOWN = MetricFacts(Better.NEITHER, 0.05, relative=True, decimals=None)

_SHARES = (
    "accuracy acc binary_accuracy categorical_accuracy sparse_categorical_accuracy "
    "top_k_categorical_accuracy sparse_top_k_categorical_accuracy auc precision recall f1_score fbeta_score "
    "r2_score cosine_similarity io_u iou binary_io_u mean_io_u one_hot_io_u one_hot_mean_io_u "
    "sensitivity_at_specificity specificity_at_sensitivity precision_at_recall recall_at_precision "
    "pearson_correlation concordance_correlation"
)
_LOSSES = (
    "loss binary_crossentropy binary_focal_crossentropy categorical_crossentropy "
    "categorical_focal_crossentropy sparse_categorical_crossentropy kl_divergence poisson hinge "
    "squared_hinge categorical_hinge"
)
_ERRORS = (
    "mean_squared_error mse root_mean_squared_error mean_absolute_error mae mean_absolute_percentage_error "
    "mape mean_squared_logarithmic_error msle log_cosh logcosh huber false_positives false_negatives"
)
_KNOWN = {
    **dict.fromkeys(_SHARES.split(), _SHARE),
    **dict.fromkeys(_LOSSES.split(), _LOSS),
    **dict.fromkeys(_ERRORS.split(), _ERROR),
    **dict.fromkeys(("true_positives", "true_negatives"), _MANY),
    **dict.fromkeys(("mean", "sum"), _UNKNOWN),
}


def known_name(name: str) -> str | None:
    """Keras's own name of a metric, without its output and its number; None if Keras has no such metric."""
    words = re.sub(r"_\d+$", "", name).split("_")
    ends = ("_".join(words[start:]) for start in range(len(words)))
    return next((end for end in ends if end in _KNOWN), None)


def facts_of(name: str) -> MetricFacts:
    """What is known of a metric. Of a metric of the user's own, neither of two values is the better one."""
    known = known_name(name)
    return _UNKNOWN if known is None else _KNOWN[known]


def is_error(loss: str) -> bool:
    """Whether a loss has the unit of the labels, or its square."""
    return _KNOWN.get(loss) == _ERROR


def names() -> tuple[str, ...]:
    """The names of Keras's metrics."""
    return tuple(_KNOWN)
