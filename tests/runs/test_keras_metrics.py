import pytest

from backendexp.runs import keras_metrics
from backendexp.runs.keras_metrics import Better
from backendexp.runtimes import catalogue


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("accuracy", "accuracy"),
        ("left_accuracy", "accuracy"),
        ("left_binary_accuracy", "binary_accuracy"),
        ("auc_1", "auc"),
        ("right_out_loss", "loss"),
        ("left_mean_absolute_error_2", "mean_absolute_error"),
        ("inaccuracy", None),
        ("mine", None),
    ],
)
def test_metrics_are_found_by_the_end_of_their_names(name: str, known: str | None) -> None:
    assert keras_metrics.known_name(name) == known


def test_every_metric_that_can_be_chosen_is_known() -> None:
    for name in catalogue.KERAS3.metrics | catalogue.KERAS3.losses:
        assert keras_metrics.facts_of(name).better is not Better.NEITHER


def test_errors_and_only_errors_have_a_margin_in_their_own_unit() -> None:
    assert keras_metrics.is_error("mean_squared_error")
    assert not keras_metrics.is_error("binary_crossentropy")
    assert not keras_metrics.is_error("auto")
