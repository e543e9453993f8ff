"""A new measure needs nothing but a new row in the table of measures."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from backendexp.analysis import limits, pipeline, tracked_runs
from backendexp.analysis.findings import LESS, MORE, Comparison
from backendexp.experiments import sweep
from backendexp.reporting import artifacts, report, tables, text
from backendexp.runs import measures, record
from backendexp.runs.measures import Better, Kind, Measure
from backendexp.runs.plan import RunSpec
from backendexp.runs.record import RunRecord
from support import streams

BLOCKS = 4
# JAX has about twice as many weights as TensorFlow, with the noise that a test of a ratio needs.
WEIGHTS = {"tensorflow": (100, 101, 99, 100), "jax": (200, 203, 199, 201)}


def toy(better: Better = Better.NEITHER) -> Measure:
    return Measure(
        key="size/weights",
        title="trained weights",
        unit="kW",
        kind=Kind.MEMORY,
        better=better,
        source="weights",
        decimals=1,
        column="weights kW",
    )


@pytest.fixture(params=[Better.NEITHER], ids=lambda better: better.value)
def measure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Measure:
    """A measure that exists only in the table."""
    added = toy(request.param)
    monkeypatch.setattr(measures, "TABLE", (*measures.TABLE, added))
    return added


@pytest.fixture
def records(tmp_path: Path, make_spec: Callable[..., RunSpec]) -> list[RunRecord]:
    """A small sweep with one run of each backend for each seed."""
    made = []
    for seed in range(BLOCKS):
        for backend, weights in WEIGHTS.items():
            events = [
                event | {"weights": weights[seed]} if event["event"] == "built" else event
                for event in streams.whole(training_time_s=1.5 + seed / 100)
            ]
            made.append(streams.record_of(tmp_path, make_spec(backend, seed=seed), events))
    return made


@pytest.fixture
def comparison(measure: Measure, records: list[RunRecord]) -> Comparison:
    return pipeline.analyse(tracked_runs.of_records(records), title="a title")


def test_it_is_a_metric_in_mlflow_and_in_the_run_directory(
    measure: Measure, records: list[RunRecord]
) -> None:
    metrics = {metric.key: metric.value for metric in record.report(records[0]).metrics}
    assert metrics[measure.key] == 100
    written = json.loads((records[0].directory / "result.json").read_text(encoding="utf-8"))
    assert written["metrics"][measure.key] == 100


def test_it_has_a_column_in_the_tables_of_a_run_and_of_a_sweep(
    measure: Measure, records: list[RunRecord]
) -> None:
    by_run, medians = tables.run_table(records), tables.median_table(records)
    assert by_run.titles[-1] == "weights kW"
    assert [row[-1] for row in by_run.rows[:2]] == ["100.0", "200.0"]
    assert medians.titles[-1] == "median weights kW"
    assert [row[-1] for row in medians.rows] == ["100.0", "200.5"]
    assert records[0].result is not None
    assert tables.numbers_line(records[0].result).endswith("  weights kW 100.0")
    assert "weights kW" in sweep.markdown(records)


def test_it_is_compared(measure: Measure, comparison: Comparison) -> None:
    assert comparison.group("jax").spreads[measure.key].median == 200.5
    (contrast,) = [c for c in comparison.contrasts if c.measure == measure]
    assert contrast.ratio == pytest.approx(2, rel=0.01)
    assert (contrast.verdict, contrast.faster_share) == (MORE, 0.0)


@pytest.mark.parametrize("measure", [Better.MORE], indirect=True)
def test_higher_values_are_better_if_the_table_says_so(comparison: Comparison) -> None:
    (contrast,) = [c for c in comparison.contrasts if c.measure.key == "size/weights"]
    assert (contrast.verdict, contrast.faster_share) == (MORE, 1.0)
    assert "more in 100% of 4 blocks" in contrast.sentence
    assert LESS not in contrast.sentence


def test_it_is_in_every_export(measure: Measure, comparison: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(text.csv(comparison))))
    (of_jax,) = [row for row in rows if (row["measure"], row["group"]) == (measure.key, "jax")]
    assert (of_jax["unit"], of_jax["median"], of_jax["verdict"]) == ("kW", "200.5", "more")
    found = json.loads(text.to_json(comparison))
    assert found["groups"][1]["spreads"][measure.key]["median"] == 200.5
    assert {"key": measure.key, "title": measure.title, "unit": "kW"} in [
        contrast["measure"] for contrast in found["contrasts"]
    ]
    markdown = text.markdown(comparison)
    assert "| trained weights kW | 100.0 (99.8 to 100.2) | 200.5 (199.8 to 201.5) |" in markdown
    assert "| trained weights | jax to tensorflow | 2.01 |" in markdown
    assert artifacts.metrics(comparison)["jax/weights_median"] == 200.5


def test_it_is_in_the_report(measure: Measure, comparison: Comparison) -> None:
    page = report.html(comparison)
    assert '<th scope="row">trained weights kW</th><td>100.0</td>' in page
    assert '<th scope="col">trained weights kW</th>' in page


def test_it_can_be_limited(measure: Measure, comparison: Comparison) -> None:
    (outcome,) = limits.check(comparison, [limits.parse("weights > 1.5")])
    assert not outcome.kept
    assert outcome.sentence.startswith("weights > 1.5: jax against tensorflow: yes, the ratio is 2.0")


def test_a_new_quality_is_compared_by_its_difference(
    records: list[RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    added = Measure("size/log", "weights", "", Kind.QUALITY, Better.MORE, "weights", decimals=2, margin=0.5)
    monkeypatch.setattr(measures, "TABLE", (*measures.TABLE, added))
    found = pipeline.analyse(tracked_runs.of_records(records), title="a title")
    (quality,) = [q for q in found.qualities if q.measure == added]
    assert (quality.difference, quality.margin, quality.verdict) == (100.75, 0.5, "different")
