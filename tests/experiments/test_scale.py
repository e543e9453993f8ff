"""experiment=scale runs the right sizes in the right order, and draws conclusions from the runs."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from backendexp.analysis import numbers
from backendexp.analysis.findings import (
    ScalePoint,
)
from backendexp.experiments.blocks import Entrants
from backendexp.experiments.scale import ScaleStudy, Settings
from backendexp.reporting.tables import Table
from backendexp.runs.plan import RunSpec
from backendexp.runs.record import RunRecord
from support import streams
from support.tracked import MEMORY, TIMES

MakeSpec = Callable[..., RunSpec]
TRAINING = next(measure for measure in TIMES if measure.key == "training_time_s")


@pytest.fixture
def study(make_spec: MakeSpec) -> ScaleStudy:
    """A study of three sizes of the data and two widths, in which one plan belongs to both axes."""
    spec = make_spec(data__samples=100, model__hidden_units=[8, 8], seed=5)
    who = Entrants(tuple(replace(spec, backend=name) for name in ("tensorflow", "theano")), ())
    return ScaleStudy(who, Settings(samples=[400, 100, 200], hidden_units=[8, 32], repeats=3))


def size(spec: RunSpec) -> tuple[int, tuple[int, ...]]:
    return spec.data.samples, tuple(spec.model.hidden_units)


SIZES = [(100, (8, 8)), (200, (8, 8)), (400, (8, 8)), (100, (32, 32))]


# -- planning ----------------------------------------------------------------------------------------


def test_one_size_is_varied_while_the_other_stays_and_a_shared_one_is_run_once(study: ScaleStudy) -> None:
    assert [size(plan) for plan in study.plans] == SIZES
    assert [list(axis.plans) for axis in study.axes] == [[100, 200, 400], [8, 32]]


def test_every_size_is_run_on_every_backend_in_every_repeat(study: ScaleStudy) -> None:
    timed = [run for run in study.runs if not run.warm_up]
    counts = Counter((size(run.spec), run.spec.backend) for run in timed)
    assert counts == {(s, b): 3 for s in SIZES for b in ("tensorflow", "theano")}
    assert Counter(run.spec.seed for run in timed) == {6: 8, 7: 8, 8: 8}
    assert {run.tags["role"] for run in timed} == {"timed"}


def test_block_is_one_size_on_every_backend_one_after_the_other(study: ScaleStudy) -> None:
    timed = [run for run in study.runs if not run.warm_up]
    for number, (first, second) in enumerate(zip(timed[::2], timed[1::2], strict=True), 1):
        assert first.tags["block"] == second.tags["block"] == str(number)
        assert [first.tags["position"], second.tags["position"]] == ["1", "2"]
        assert {first.spec.backend, second.spec.backend} == {"tensorflow", "theano"}
        assert (size(first.spec), first.spec.seed) == (size(second.spec), second.spec.seed)


def test_every_size_is_warmed_up_once(study: ScaleStudy) -> None:
    warm = [run for run in study.runs if run.warm_up]
    assert study.runs[: len(warm)] == warm
    assert Counter((size(run.spec), run.spec.backend) for run in warm) == {
        (s, b): 1 for s in SIZES for b in ("tensorflow", "theano")
    }


def test_sizes_are_shuffled_again_in_every_repeat_and_the_same_way_for_the_same_seed(
    study: ScaleStudy,
) -> None:
    again = ScaleStudy(study.who, study.asked)
    assert again.runs == study.runs
    sizes = [size(run.spec) for run in study.runs if not run.warm_up][::2]
    orders = [tuple(sizes[at : at + 4]) for at in range(0, len(sizes), 4)]
    assert len(set(orders)) > 1


def test_axis_with_a_single_size_is_left_out(study: ScaleStudy) -> None:
    narrow = ScaleStudy(study.who, replace(study.asked, hidden_units=[32]))
    assert [axis.name for axis in narrow.axes] == ["samples"]
    assert all(run.spec.model.hidden_units == [8, 8] for run in narrow.runs)


def test_opening_announces_the_number_and_kinds_of_runs(study: ScaleStudy) -> None:
    who = replace(study.who, missing=("backend 'jax' is not available",))
    first, missing = ScaleStudy(who, study.asked).opening
    assert first == (
        "tensorflow, theano on keras3 with 100, 200, 400 samples and 8, 32 units a layer, 32 runs: 8 to warm "
        "up, 24 that are timed, 3 of each."
    )
    assert missing == "Not here: backend 'jax' is not available"


# -- the conclusion ----------------------------------------------------------------------------------


@pytest.fixture
def records(study: ScaleStudy, tmp_path: Path) -> list[RunRecord]:
    """Runs in which theano takes 1 ms for each sample, and tensorflow takes 150 ms for any number of samples.
    Each repeat takes 1% longer.
    """

    def seconds(spec: RunSpec) -> float:
        own = 0.001 * spec.data.samples if spec.backend == "theano" else 0.15
        return own * (1 + 0.01 * (spec.seed - 7))

    return [
        streams.record_of(
            tmp_path / "runs",
            run.spec,
            streams.whole(training_time_s=seconds(run.spec), seconds=seconds(run.spec) / 4),
            tags=dict(run.tags),
        )
        for run in study.runs
        if not run.warm_up
    ]


def tables(said: Sequence[str | Table]) -> list[Table]:
    return [one for one in said if isinstance(one, Table)]


def test_points_are_the_median_and_the_ends_of_the_repeats(
    study: ScaleStudy, records: list[RunRecord]
) -> None:
    by_samples, by_width = study.axes
    found = study.points(by_samples, TRAINING, records)
    assert [(p.backend, p.size) for p in found] == [
        (backend, n) for backend in ("tensorflow", "theano") for n in (100, 200, 400)
    ]
    assert found[4] == ScalePoint(
        "theano", 200, pytest.approx(0.2), pytest.approx(0.198), pytest.approx(0.202)
    )
    assert [p.size for p in study.points(by_width, MEMORY, records)] == [8, 32, 8, 32]


def test_tables_hold_a_row_a_size_and_backend_with_the_ratio_to_the_baseline(
    study: ScaleStudy, records: list[RunRecord], tmp_path: Path
) -> None:
    by_samples, by_width = tables(study.conclude("a/b", tmp_path, records).said)
    assert by_samples.titles[:5] == [
        "samples",
        "backend",
        "finished",
        "training_time_s",
        "time ratio",
    ]
    assert [row[:3] for row in by_samples.rows] == [
        [n, backend, "3 of 3"] for n in ("100", "200", "400") for backend in ("tensorflow", "theano")
    ]
    ratios = [float(row[4]) for row in by_samples.rows]
    assert ratios == pytest.approx([1, 0.1 / 0.15, 1, 0.2 / 0.15, 1, 0.4 / 0.15], abs=0.01)
    assert by_width.titles[0] == "units a layer"
    assert len(by_width.rows) == 4


def test_conclusion_says_where_the_backends_cross(
    study: ScaleStudy, records: list[RunRecord], tmp_path: Path
) -> None:
    said = [str(one) for one in study.conclude("a/b", tmp_path, records).said]
    assert (
        "training_time_s: theano and tensorflow cross between 100 and 200 samples, at about 150: below, "
        "theano is the faster, and above, tensorflow." in said
    )
    ordered = "theano is faster than tensorflow all the way from 8 to 32 units a layer"
    assert [one.partition(":")[0] for one in said if ordered in one] == ["training_time_s", "steady epoch"]


def test_conclusion_is_in_the_summary_run_with_its_curves_over_the_size(
    study: ScaleStudy, records: list[RunRecord], tmp_path: Path
) -> None:
    concluded = study.conclude("a/b", tmp_path, records)
    assert (concluded.kind, concluded.good) == ("scale", True)
    assert concluded.params == {
        "scale.baseline": "tensorflow",
        "scale.backends": "tensorflow, theano",
        "scale.samples": "[400, 100, 200]",
        "scale.hidden_units": "[8, 32]",
        "scale.repeats": "3",
    }
    assert concluded.by_size["theano/training_time_s_by_samples"] == {
        100: pytest.approx(0.1),
        200: pytest.approx(0.2),
        400: pytest.approx(0.4),
    }
    assert set(concluded.by_size["tensorflow/peak_mib_by_width"]) == {8, 32}
    assert "cross between 100 and 200 samples" in concluded.note
    assert "| samples | backend | finished |" in concluded.note
    assert "medians of 3 repeats, and their ratios to tensorflow's" in concluded.note


def test_files_of_the_conclusion_are_in_the_folder_of_its_runs(
    study: ScaleStudy, records: list[RunRecord], tmp_path: Path
) -> None:
    concluded = study.conclude("a/b", tmp_path, records)
    assert concluded.artifacts == [tmp_path / "scale"]
    assert concluded.report == tmp_path / "scale" / "scale.html"
    there = {str(path.relative_to(tmp_path / "scale")) for path in (tmp_path / "scale").rglob("*.*")}
    assert there == {
        "scale.html",
        "scale.md",
        "samples.csv",
        "units-a-layer.csv",
        *(
            f"figures/{measure}-by-{axis}.svg"
            for measure in ("training_time_s", "steady_epoch_s", "peak_mib")
            for axis in ("samples", "units-a-layer")
        ),
    }


def test_failed_and_missing_runs_are_reported_and_the_rest_is_concluded(
    study: ScaleStudy, records: list[RunRecord], tmp_path: Path
) -> None:
    at_400 = [r for r in records if size(r.spec) == (400, (8, 8)) and r.spec.backend == "theano"]
    failed = streams.record_of(tmp_path / "more", at_400[0].spec, streams.killed_in_epoch_3())
    some = [*(r for r in records if r not in at_400 and r.spec.seed != 8), failed]
    concluded = study.conclude("a/b", tmp_path, some)
    by_samples = tables(concluded.said)[0]
    assert by_samples.rows[-1][:4] == ["400", "theano", "0 of 1", numbers.MISSING]
    assert by_samples.rows[0][2] == "2 of 2"
    assert f"Note: It ended after {len(some)} of 24 runs." in concluded.said
    assert "cross between 100 and 200 samples" in concluded.note


def test_data_of_one_class_is_reported(study: ScaleStudy, tmp_path: Path, records: list[RunRecord]) -> None:
    stream = streams.of_one_class(streams.whole())
    one_class = [streams.record_of(tmp_path, record.spec, stream) for record in records]
    said = [str(one) for one in study.conclude("a/b", tmp_path, one_class).said]
    assert "Note: y_train holds one class only, every label is 1: nothing could be learned." in said


def test_conclusion_without_finished_runs_has_no_figures(study: ScaleStudy, tmp_path: Path) -> None:
    first = next(run.spec for run in study.runs if not run.warm_up)
    failed = streams.record_of(tmp_path / "runs", first, streams.killed_in_epoch_3())
    concluded = study.conclude("a/b", tmp_path, [failed])
    assert concluded.by_size == {}
    assert list((tmp_path / "scale" / "figures").iterdir()) == []
    assert "there is nothing to say of them" in (tmp_path / "scale" / "scale.html").read_text()
