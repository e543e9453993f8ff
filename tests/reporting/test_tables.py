from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backendexp.reporting import tables
from backendexp.runs.events import Event
from backendexp.runs.plan import RunSpec, with_probe
from backendexp.runs.record import RunRecord
from support import streams

Make = Callable[..., RunRecord]

NUMBERS = ["training_time_s", "first epoch s", "steady epoch s", "loss", "accuracy", "peak MiB"]


@pytest.fixture
def make(tmp_path: Path, make_spec: Callable[..., RunSpec]) -> Make:
    """A function: make("jax", stream, seed=3) returns a record with these events."""

    def record_of(backend: str, stream: list[dict[str, object]] | None = None, **fields: object) -> RunRecord:
        recorded = streams.whole() if stream is None else stream
        return streams.record_of(tmp_path, make_spec(backend, **fields), recorded)

    return record_of


def test_table_has_a_row_a_run_with_its_numbers(make: Make) -> None:
    table = tables.run_table([make("jax", seed=1), make("tensorflow", seed=1)])
    assert table.titles == ["backend", "runtime", "seed", "status", *NUMBERS]
    numbers = ["FINISHED", "1.5", "0.5", "0.5", "0.5000", "0.750", "200"]
    assert table.rows == [["jax", "keras3", "1", *numbers], ["tensorflow", "keras3", "1", *numbers]]


def test_failed_run_has_a_row_with_its_reason_and_what_it_reached(make: Make) -> None:
    table = tables.run_table([make("jax"), make("jax", streams.killed_in_epoch_3())])
    assert table.rows[1][3:] == ["FAILED (killed_by_signal)", "-", "0.5", "0.5", "-", "-", "200"]


def test_run_under_way_has_a_row(tmp_path: Path, make_spec: Callable[..., RunSpec]) -> None:
    draft = streams.record_of(tmp_path, make_spec("jax"), [], finish=False)
    assert tables.run_table([draft]).rows == [["jax", "keras3", "0", "RUNNING", *["-"] * 5]]


def test_what_differs_between_the_plans_has_a_column(make: Make) -> None:
    table = tables.run_table([make("jax", training__epochs=1), make("jax", training__epochs=2, threads=2)])
    assert table.titles[3:5] == ["threads", "training.epochs"]
    assert [row[3:5] for row in table.rows] == [["1", "1"], ["2", "2"]]


def test_table_of_no_runs_has_no_rows() -> None:
    assert tables.run_table([]).rows == []
    assert tables.median_table([]).rows == []


def test_medians_are_of_the_finished_runs_of_one_backend_and_runtime(make: Make) -> None:
    records = [make("jax", streams.whole(training_time_s=t), seed=int(t)) for t in (1.0, 2.0, 30.0)]
    records += [make("jax", streams.killed_in_epoch_3(), seed=4), make("theano")]
    table = tables.median_table(records)
    assert table.titles[:4] == ["backend", "runtime", "finished", "median training_time_s"]
    assert [row[:4] for row in table.rows] == [
        ["jax", "keras3", "3 of 4", "2"],
        ["theano", "keras3", "1 of 1", "1.5"],
    ]


def test_setting_that_only_one_kind_of_data_has_is_a_dash_for_the_others(make: Make) -> None:
    table = tables.run_table([make("jax", data__kind="addition"), make("jax", data__kind="mnist1d")])
    shown = [
        {title: row[table.titles.index(title)] for title in ("data.kind", "data.steps", "data.noise")}
        for row in table.rows
    ]
    assert shown == [
        {"data.kind": "addition", "data.steps": "40", "data.noise": "-"},
        {"data.kind": "mnist1d", "data.steps": "-", "data.noise": "0.25"},
    ]


def test_backend_that_never_finished_has_no_medians(make: Make) -> None:
    (row,) = tables.median_table([make("jax", streams.killed_in_epoch_3())]).rows
    assert row == ["jax", "keras3", "0 of 1", *["-"] * 5]


def test_markdown_escapes_what_would_break_the_table() -> None:
    table = tables.Table(["a", "b"], [["x|y", "z"]])
    assert table.markdown() == "| a | b |\n| --- | --- |\n| x\\|y | z |"


def test_runs_of_two_runtimes_are_not_called_a_comparison(make: Make) -> None:
    (said,) = tables.caveats([make("tensorflow"), make("theano", runtime="keras2")])
    assert "different Keras versions" in said
    assert "they do not compare backends" in said


def test_runs_of_two_machines_are_not_called_alike(make: Make) -> None:
    runs = [make("theano", seed=seed) for seed in (1, 2)]
    placed = [
        replace(run, context=replace(run.context, tags={**run.context.tags, "backendexp.host": host}))
        for run, host in zip(runs, ("b", "a"), strict=True)
    ]
    (said,) = tables.caveats(placed)
    assert said.startswith("These runs are from 2 machines (a, b), so their times also differ")


def test_compilation_that_later_runs_do_not_repeat_is_reported(make: Make) -> None:
    (said,) = tables.caveats([make("theano", streams.whole(compile_cache="empty")), make("theano")])
    assert "empty compile cache" in said
    assert tables.caveats([make("theano", streams.whole(compile_cache="filled"))]) == []


def _with_labels(y_train: tuple[float, float, bool], y_test: tuple[float, float, bool]) -> list[Event]:
    """Return a stream whose labels have this minimum, this maximum, and this flag for being only 0 and 1."""
    keys = ("low", "high", "zeros_and_ones")
    labels = {
        "y_train": dict(zip(keys, y_train, strict=True)),
        "y_test": dict(zip(keys, y_test, strict=True)),
    }
    return [event | {"labels": labels} if event["event"] == "data" else event for event in streams.whole()]


@pytest.mark.parametrize(
    ("y_train", "y_test", "expected"),
    [
        ((0, 1, True), (0, 1, True), []),
        (
            (1, 1, True),
            (0, 1, True),
            ["y_train holds one class only, every label is 1: nothing could be learned."],
        ),
        (
            (0, 1, True),
            (0, 0, True),
            ["y_test holds one class only, every label is 0: accuracy tells little."],
        ),
        (
            (-1, 1, False),
            (-1, 1, False),
            ["y_test holds other labels than 0 and 1, and accuracy counts only these: look at the loss."],
        ),
        (
            (3, 3, False),
            (3, 3, False),
            [
                "y_train holds one class only, every label is 3: nothing could be learned.",
                "y_test holds one class only, every label is 3: accuracy tells little.",
                "y_test holds other labels than 0 and 1, and accuracy counts only these: look at the loss.",
            ],
        ),
    ],
)
def test_labels_that_make_numbers_meaningless_are_reported_once(
    y_train: tuple[float, float, bool], y_test: tuple[float, float, bool], expected: list[str], make: Make
) -> None:
    stream = _with_labels(y_train, y_test)
    assert tables.caveats([make("jax", stream, seed=1), make("theano", stream, seed=2)]) == expected


def _told_of(make: Make, labels: dict[str, Any], loss: str, **evaluated: Any) -> list[str]:
    """What is told of a run that had this loss and these labels for testing."""
    stream = [
        event | {"data": {"labels": {"y_test": labels}}, "evaluated": evaluated}.get(event["event"], {})
        for event in streams.whole()
    ]
    record = make("jax", stream)
    training = replace(record.spec.training, loss=loss)
    return tables.label_caveats([replace(record, spec=replace(record.spec, training=training))])


CLASSES = {"low": 0.0, "high": 9.0, "zeros_and_ones": False, "alike": False}


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "auto"])
def test_accuracy_of_several_classes_counts_all_of_them(loss: str, make: Make) -> None:
    assert _told_of(make, CLASSES, loss) == []
    assert len(_told_of(make, CLASSES, "mean_squared_error")) == 1


def test_single_class_among_several_is_told(make: Make) -> None:
    one = {"low": 7.0, "high": 7.0, "zeros_and_ones": False, "alike": True}
    (said,) = _told_of(make, one, "sparse_categorical_crossentropy")
    assert said == "y_test holds one class only, every label is 7: accuracy tells little."
    rows = {"low": 0.0, "high": 1.0, "zeros_and_ones": True, "alike": True}
    (said,) = _told_of(make, rows, "categorical_crossentropy")
    assert said == "y_test holds one class only, all rows are alike: accuracy tells little."


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["jax", "jax", "tensorflow", "tensorflow"], True),
        (["jax", "jax", "tensorflow"], True),
        (["jax", "tensorflow", "jax", "tensorflow"], False),
        (["jax", "tensorflow", "tensorflow", "jax"], False),
        (["jax", "tensorflow"], False),
        (["jax", "jax"], False),
        ([], False),
    ],
)
def test_backend_that_ran_entirely_before_the_other_is_reported(
    order: list[str], expected: bool, make: Make
) -> None:
    said = tables.caveats([make(backend) for backend in order])
    assert [line for line in said if "put backend=... last" in line] == said
    assert bool(said) == expected


def test_summary_of_a_run_has_stack_times_scores_phases_and_memory(make: Make) -> None:
    assert list(tables.run_lines(make("jax", seed=2))) == [
        "FINISHED  jax on keras3, seed 2 (Keras 3.15.1, JAX 0.10.2, Python 3.11.7, 1 threads)",
        "  training_time_s  1.5, steady epoch 0.5 s",
        "  loss  0.5000   accuracy  0.750   (labels are coin flips: 0.38 to 0.62 is luck)",
        "  phases  import 4 s · build 0.2 s · first epoch 0.5 s · other epochs 1 s · evaluate 0.1 s",
        "  memory  200 MiB at its peak",
    ]


def test_labels_that_can_be_learned_have_no_range_of_luck(make: Make) -> None:
    (line,) = [one for one in tables.run_lines(make("jax", data__kind="signal")) if "accuracy" in one]
    assert line == "  loss  0.5000   accuracy  0.750"


def test_range_of_luck_stays_within_what_accuracy_can_be(make: Make) -> None:
    shapes = {**streams.SHAPES, "x_test": [1, 8], "y_test": [1, 1]}
    stream = [e | {"shapes": shapes} if e["event"] == "data" else e for e in streams.whole()]
    (line,) = [one for one in tables.run_lines(make("jax", stream)) if "accuracy" in one]
    assert "0.00 to 1.00 is luck" in line


@pytest.mark.parametrize(
    ("loss", "metric", "told"),
    [
        ("mean_squared_error", "accuracy", 1),
        ("mean_squared_error", "mean_absolute_error", 0),
        ("sparse_categorical_crossentropy", "accuracy", 0),
        ("auto", "accuracy", 0),
    ],
)
def test_labels_that_accuracy_does_not_count_are_only_told_where_it_is_of_two_classes(
    loss: str, metric: str, told: int, tmp_path: Path, make_spec: Callable[..., RunSpec]
) -> None:
    amounts = {"low": 0.0, "high": 9.0, "zeros_and_ones": False}
    stream = [
        e | {"labels": {"y_test": amounts}} if e["event"] == "data" else e
        for e in streams.whole(metrics={metric: 0.5})
    ]
    spec = make_spec("jax")
    spec.training.loss = loss
    assert len(tables.label_caveats([streams.record_of(tmp_path, spec, stream)])) == told


def test_tables_have_a_column_for_each_metric_that_a_run_has(make: Make) -> None:
    metrics = {"mean_absolute_error": 12.3456, "r2_score": 0.5}
    regression = streams.whole(metrics=metrics)
    table = tables.run_table([make("jax", regression), make("theano", regression, seed=1)])
    assert table.titles[-4:] == ["loss", "mean_absolute_error", "r2_score", "peak MiB"]
    assert table.rows[0][-3:] == ["12.3", "0.500", "200"]
    mixed = tables.median_table([make("jax", regression), make("theano")])
    assert mixed.titles[-4:] == [
        "median accuracy",
        "median mean_absolute_error",
        "median r2_score",
        "median peak MiB",
    ]
    assert [row[-4:-1] for row in mixed.rows] == [["-", "12.3", "0.500"], ["0.750", "-", "-"]]
    (line,) = [one for one in tables.run_lines(make("jax", regression)) if one.startswith("  loss")]
    assert line == "  loss  0.5000   mean_absolute_error  12.3   r2_score  0.500"


def test_summary_of_a_failed_run_says_why(make: Make) -> None:
    lines = list(tables.run_lines(make("jax", streams.killed_in_epoch_3())))
    assert lines[0].startswith("FAILED  jax on keras3, seed 0 (Keras 3.15.1")
    assert lines[1].startswith("  killed_by_signal: the worker was killed by SIGKILL")
    assert not [line for line in lines if "training_time_s" in line]


def test_summary_of_a_run_without_events_is_its_failure(make: Make) -> None:
    assert list(tables.run_lines(make("jax", []))) == [
        "FAILED  jax on keras3, seed 0",
        "  worker_lost: the worker ended without a word; see worker.log",
    ]


def test_rounding_probes_have_a_column_of_their_own(
    tmp_path: Path, make_spec: Callable[..., RunSpec]
) -> None:
    spec = make_spec("jax")
    records = [streams.record_of(tmp_path, s, streams.whole()) for s in (spec, with_probe(spec, 1))]
    assert "parity.probe" in tables.run_table(records).titles
