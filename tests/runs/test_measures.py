"""The table of measures is complete, and the documentation lists the same measures."""

import re
from dataclasses import fields, replace

import pytest

from backendexp.experiments import compare
from backendexp.runs import measures
from backendexp.runs.measures import RATIO_MARGIN, Better, Kind
from backendexp.runs.results import Epoch, RunResult
from support.command import REPOSITORY

# The metrics of the tutorial, and what stands for the others on the page for users.
OF_METRICS = {"accuracy", "test/NAME", "train/NAME"}
BY_EPOCH = Epoch(1, 0.5, 0.7, {"accuracy": 0.5}, 0.0).tracked()


def documented_metrics() -> set[str]:
    """Return the first column of the table in docs/measures.md whose heading is `metric`."""
    lines = (REPOSITORY / "docs" / "measures.md").read_text(encoding="utf-8").splitlines()
    start = next(at for at, line in enumerate(lines) if re.match(r"\|\s*metric\b", line))
    names: set[str] = set()
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        names |= set(re.findall(r"`([^`]+)`", line.split("|")[1]))
    return names


def test_the_documentation_lists_exactly_the_metrics_of_the_table() -> None:
    listed = documented_metrics()
    aliases = {alias for measure in measures.tracked() for alias in measure.aliases}
    assert listed - aliases == {*(measure.key for measure in measures.tracked()), *BY_EPOCH, *OF_METRICS}


def test_keys_and_aliases_are_unique() -> None:
    names = [name for measure in measures.TABLE for name in (measure.key, *measure.aliases)]
    assert len(names) == len(set(names))
    # --fail-if and the metrics of a summary run name a measure by the last part of its key.
    short = [measure.short_key for measure in measures.TABLE]
    assert len(short) == len(set(short))


def test_every_measure_has_a_value() -> None:
    known = {field.name for field in fields(RunResult)} | set(dir(RunResult))
    tracked = {measure.key for measure in measures.tracked()}
    for measure in measures.TABLE:
        if measure.source is None:
            assert measure.difference_of is not None
            assert set(measure.difference_of) <= tracked
        else:
            assert measure.source in known


def test_a_measure_without_its_parts_has_no_value_and_a_difference_is_never_negative() -> None:
    first, steady = measures.FIRST_EPOCH, measures.STEADY_EPOCH
    assert measures.compared_values({first: 3.0}) == {}
    assert measures.compared_values({first: 3.0, steady: 1.0})[measures.COMPILATION] == 2.0
    assert measures.compared_values({first: 1.0, steady: 3.0})[measures.COMPILATION] == 0.0


def test_compared_measures_are_ratios_first_and_then_qualities() -> None:
    kinds = [measure.kind for measure in measures.compared(keys=["accuracy"])]
    ratios = [*[Kind.TIME] * 6, Kind.RATE, *[Kind.TIME] * 2, *[Kind.MEMORY] * 2]
    assert kinds == [*ratios, Kind.QUALITY, Kind.QUALITY]
    memory = measures.PEAK_MEMORY, measures.GPU_MEMORY
    assert measures.compared(Kind.MEMORY) == tuple(map(measures.measure, memory))


def test_optional_measures_are_only_compared_where_runs_have_them() -> None:
    assert measures.measure(measures.LATENCY) not in measures.ratios([])
    assert measures.measure(measures.LATENCY) in measures.ratios([measures.LATENCY])


def test_unknown_measure_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="time/nonsense"):
        measures.measure("time/nonsense")


def test_a_quality_without_a_margin_is_refused_and_so_is_a_time_with_one() -> None:
    for key, margin in ((measures.LOSS, None), (measures.TRAINING_TIME, 0.1)):
        with pytest.raises(ValueError, match="a quality has a margin, and no other measure has one"):
            replace(measures.measure(key), margin=margin)


def test_margins_are_those_that_a_user_may_change_in_the_configuration() -> None:
    assert compare.Settings().margin == RATIO_MARGIN
    assert compare.Settings().accuracy_margin == measures.quality("accuracy").margin


def test_metrics_of_the_model_become_measures_of_which_the_first_is_a_headline() -> None:
    values = measures.compared_values({"loss": 0.5, "test/loss": 0.5, "test/recall": 0.2, "test/auc": 0.7})
    assert list(values) == ["loss", "test/auc", "test/recall"]
    auc, recall = measures.qualities(values)
    assert (auc.title, auc.column, auc.short_key, auc.headline) == ("auc", "auc", "auc", True)
    assert (recall.key, recall.headline) == ("test/recall", False)
    assert measures.by_epoch(auc) == "train/auc"
    assert measures.headline_quality(["loss"]) is None


def test_metrics_are_in_the_order_of_the_model_but_accuracy_is_the_first() -> None:
    told = {"loss": 0.5, "accuracy": 0.5, "test/accuracy": 0.5, "test/recall": 0.2, "test/auc": 0.7}
    values = measures.compared_values(told, ["recall", "accuracy", "auc"])
    assert list(values) == ["loss", "accuracy", "test/recall", "test/auc"]


def test_measures_of_metrics_have_the_directions_and_margins_of_keras() -> None:
    accuracy, error, unknown = map(measures.quality, ("left_accuracy", "mean_absolute_error", "my_metric"))
    assert (accuracy.better, accuracy.margin, accuracy.relative) == (Better.MORE, 0.05, False)
    assert (error.better, error.margin, error.relative) == (Better.LESS, 0.05, True)
    assert (unknown.better, unknown.relative) == (Better.NEITHER, True)
