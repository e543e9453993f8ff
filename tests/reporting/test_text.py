"""A comparison as text has its parts in the right order, and programs can read the exports."""

import csv
import io
import json
import math
import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from backendexp.analysis import numbers, pipeline
from backendexp.analysis.findings import INCONCLUSIVE, Comparison, TrackedRun
from backendexp.reporting import text
from backendexp.reporting.tables import Table
from backendexp.runs.measures import Measure
from support.command import REPOSITORY
from support.tracked import MEASURES, MEMORY, QUALITIES, TIMES, changed, moved, sweep_runs

THREE = {"tensorflow": 1.0, "theano": 1.5, "jax": 0.7}


def analysed(runs: list[TrackedRun], title: str = "a title") -> Comparison:
    return pipeline.analyse(runs, title=title)


@pytest.fixture(scope="module")
def usual() -> Comparison:
    """A comparison of three backends with a failed run, and a run that took far longer than the others."""
    runs = sweep_runs(THREE)
    runs = changed(runs, 4, values={"training_time_s": 99.0})
    runs[7] = replace(runs[7], status="FAILED", reason="out_of_memory", values={})
    return analysed(runs)


def sections(markdown: str) -> dict[str, str]:
    """Return the sections by title. The part before the first title has the key ""."""
    head, *rest = re.split(r"^## ", markdown, flags=re.MULTILINE)
    return {"": head, **dict(part.split("\n", 1) for part in rest)}


def rows(section: str) -> list[list[str]]:
    """Return the cells of a Markdown table, beginning with its heading."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [cells[0], *cells[2:]]


# -- Markdown ----------------------------------------------------------------------------------------


def test_markdown_says_the_verdicts_first_and_lists_the_runs_last(usual: Comparison) -> None:
    found = sections(text.markdown(usual))
    assert list(found) == [
        "",
        "Medians",
        "Times and memory",
        "Loss and accuracy",
        "Chance",
        "Parity",
        "Notes",
        "Held equal",
        "Runs",
    ]
    assert found[""].splitlines()[0] == "# a title"
    said = [line.removeprefix("- ") for line in found[""].splitlines() if line.startswith("- ")]
    assert said == list(usual.headlines())
    assert len(said) == 2 * 3


def test_markdown_has_median_and_quartiles_of_every_group_and_measure(usual: Comparison) -> None:
    heading, engines, finished, *measured = rows(sections(text.markdown(usual))["Medians"])
    assert heading[1:] == [group.label for group in usual.groups]
    assert engines == ["engine", *(group.engine for group in usual.groups)]
    assert finished == ["finished", "10 of 10", "10 of 10", "9 of 10"]
    for measure, row in zip(MEASURES, measured, strict=True):
        assert row[0] == measure.heading
        for group, cell in zip(usual.groups, row[1:], strict=True):
            spread = group.spreads[measure.key]
            shown = [numbers.of(measure, value) for value in (spread.median, spread.low, spread.high)]
            assert cell == f"{shown[0]} ({shown[1]} to {shown[2]})"


def test_markdown_has_a_row_for_every_pair_and_measure(usual: Comparison) -> None:
    found = sections(text.markdown(usual))
    times = rows(found["Times and memory"])[1:]
    assert [(row[0], row[1]) for row in times] == [
        (c.measure.title, f"{c.candidate} to {c.baseline}") for c in usual.contrasts
    ]
    assert len(times) == 3 * (len(TIMES) + 1)
    slower = next(row for row in times if row[:2] == ["steady epoch", "theano to tensorflow"])
    contrast = next(
        c for c in usual.contrasts if (c.measure.title, c.candidate) == ("steady epoch", "theano")
    )
    assert slower[2:] == [
        numbers.significant(contrast.ratio),
        f"{numbers.significant(contrast.low)} to {numbers.significant(contrast.high)}",
        "0%",
        "9",
        "< 0.001",
        "slower",
    ]
    assert len(rows(found["Loss and accuracy"])[1:]) == 3 * len(QUALITIES)


def test_markdown_has_a_row_a_run_with_failures_and_outliers_labelled(usual: Comparison) -> None:
    heading, *found = rows(sections(text.markdown(usual))["Runs"])
    every = [run for group in usual.groups for run in group.runs]
    assert [row[1] for row in found] == [run.run_id[:8] for run in every]
    assert len(found) == 30
    by_id = {row[1]: dict(zip(heading, row, strict=True)) for row in found}
    assert by_id["id7"]["status"] == "FAILED (out_of_memory)"
    assert by_id["id7"]["training_time_s"] == "-"
    assert by_id["id4"]["training_time_s"] == "99.0 (outlier)"
    assert sum("outlier" in row["training_time_s"] for row in by_id.values()) == 1


def test_markdown_reports_inconclusive_and_withheld_verdicts_with_the_reason() -> None:
    noisy = analysed(sweep_runs({"tensorflow": 1.0, "theano": 1.08}, blocks=5, noise=0.1))
    unsure = [c for c in noisy.contrasts if c.more_blocks]
    assert unsure
    table = rows(sections(text.markdown(noisy))["Times and memory"])
    for contrast in unsure:
        (row,) = [row for row in table if row[0] == contrast.measure.title]
        assert row[-1].startswith(f"inconclusive, about {contrast.more_blocks} more block")
    beside = analysed([replace(run, parallel=True) for run in sweep_runs({"tensorflow": 1.0, "theano": 1.0})])
    section = sections(text.markdown(beside))["Times and memory"]
    assert {row[-1] for row in rows(section)[1:-1]} == {"withheld"}
    (reason,) = [line for line in section.splitlines() if line.startswith("- ")]
    assert reason.startswith("- No verdict on theano to tensorflow in import, build, compilation, training")
    assert reason.endswith("20 of 20 runs ran beside others.")


def test_markdown_escapes_names() -> None:
    hostile = "<script>alert(1)</script> | a\nname"
    runs = [replace(run, name=hostile) for run in sweep_runs({"tensorflow": 1.0, "theano": 1.0})]
    written = text.markdown(analysed(runs, title=f"# {hostile}"))
    assert "<script" not in written
    assert "</script" not in written
    assert "p < 0.001" in written or "p = " in written
    table = rows(sections(written)["Runs"])
    assert {len(row) for row in table} == {len(table[0])}
    assert table[1][0] == "&lt;script>alert(1)&lt;/script> \\| a name"


def test_every_table_of_the_markdown_is_complete(usual: Comparison) -> None:
    for section in sections(text.markdown(usual)).values():
        if "|" in section:
            table = rows(section)
            assert {len(row) for row in table} == {len(table[0])}


def test_labels_that_can_be_learned_have_no_section_on_chance() -> None:
    runs = sweep_runs({"tensorflow": 1.0, "theano": 1.0}, params={"data.kind": "signal"})
    assert "Chance" not in sections(text.markdown(analysed(runs)))


# -- the terminal ------------------------------------------------------------------------------------


def test_a_terminal_shows_the_verdicts_first_and_the_notes_last(usual: Comparison) -> None:
    shown = text.paragraphs(usual)
    headlines = len(usual.headlines())
    assert tuple(shown[:headlines]) == usual.headlines()
    kinds = [isinstance(part, Table) for part in shown]
    assert kinds == [False] * headlines + [True] * 4 + [False] * (len(shown) - headlines - 4)
    notes = [part for part in shown if isinstance(part, str) and part.startswith("Note: ")]
    assert shown[-len(notes) :] == notes
    assert any("out_of_memory" in note for note in notes)
    # A missing check is reported only once.
    assert sum("no parity runs" in str(part) for part in shown) == 1


def test_a_terminal_shows_why_a_verdict_is_withheld() -> None:
    beside = analysed([replace(run, parallel=True) for run in sweep_runs({"tensorflow": 1.0, "theano": 1.0})])
    (reason,) = [part for part in text.paragraphs(beside) if str(part).startswith("No verdict on ")]
    assert str(reason).endswith(": 20 of 20 runs ran beside others.")


def test_tables_show_the_pairs_with_a_baseline(usual: Comparison) -> None:
    medians, jax, theano, differences = text.tables(usual)
    assert len(medians.rows) == 2 + len(MEASURES)
    for table, pair in ((jax, "jax to tensorflow"), (theano, "theano to tensorflow")):
        assert table.titles == [pair, "ratio", "95% interval", "better in", "verdict"]
        assert [row[0] for row in table.rows] == [m.title for m in (*TIMES, MEMORY)]
    assert {row[-1] for row in theano.rows} >= {"slower", "more"}
    assert [row[:2] for row in differences.rows] == [
        [measure.title, f"{backend} to tensorflow"] for backend in ("jax", "theano") for measure in QUALITIES
    ]


# -- CSV ---------------------------------------------------------------------------------------------


def read_csv(comparison: Comparison) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.csv(comparison))))


def test_csv_has_a_row_for_every_group_and_measure_in_full_precision(usual: Comparison) -> None:
    found = read_csv(usual)
    assert [(row["group"], row["measure"]) for row in found] == [
        (group.label, measure.key) for group in usual.groups for measure in MEASURES
    ]
    for row in found:
        group = usual.group(row["group"])
        spread = group.spreads[row["measure"]]
        assert [float(row[name]) for name in ("median", "quartile_low", "quartile_high")] == [
            spread.median,
            spread.low,
            spread.high,
        ]
        assert (int(row["finished"]), int(row["runs"])) == (len(group.finished), len(group.runs))
    by_place = {(row["group"], row["measure"]): row for row in found}
    assert by_place["theano", "training_time_s"]["outliers"] == "1"


def test_csv_compares_every_group_with_its_baseline_and_the_baseline_with_none(usual: Comparison) -> None:
    for row in read_csv(usual):
        if row["group"] == "tensorflow":
            assert row["baseline"] == row["ratio"] == row["difference"] == row["verdict"] == ""
            continue
        assert row["baseline"] == "tensorflow"
        pairs = [*usual.contrasts, *usual.qualities]
        at = (row["measure"], row["group"], "tensorflow")
        found: Any = next(p for p in pairs if (p.measure.key, p.candidate, p.baseline) == at)
        if row["measure"] in [m.key for m in QUALITIES]:
            assert row["ratio"] == ""
            assert float(row["difference"]) == found.difference
            assert float(row["difference_low_90"]) == found.low
        else:
            assert row["difference"] == ""
            assert float(row["ratio"]) == found.ratio
            assert float(row["ratio_high_95"]) == found.high
        assert row["verdict"] == found.verdict


def test_csv_of_two_runtimes_compares_each_with_the_baseline_of_its_keras() -> None:
    old = {"runtime": "keras2", "tags": {"keras_version": "2.3.1"}}
    new = sweep_runs({"tensorflow": 1.0, "theano": 1.0})
    comparison = analysed([*new, *moved(sweep_runs({"tensorflow": 1.0, "theano": 2.0}, **old), len(new))])
    baselines = {row["group"]: row["baseline"] for row in read_csv(comparison)}
    assert baselines == {
        "tensorflow (keras3)": "",
        "tensorflow (keras2)": "",
        "theano (keras3)": "tensorflow (keras3)",
        "theano (keras2)": "tensorflow (keras2)",
    }


def test_every_column_of_the_csv_is_explained() -> None:
    page = (REPOSITORY / "docs" / "comparing.md").read_text()
    assert [name for name in text.CSV_COLUMNS if f"`{name}`" not in page] == []


# -- JSON --------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Return a dataclass as JSON can represent it. A measure becomes its name, title and unit."""
    if isinstance(value, Measure):
        return {"key": value.key, "title": value.title, "unit": value.unit}
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def test_json_is_the_comparison_with_the_number_of_its_schema(usual: Comparison) -> None:
    found = json.loads(text.to_json(usual))
    assert found.pop("schema") == text.SCHEMA
    assert found == plain(usual)
    assert found["groups"][0]["runs"][0]["values"]["training_time_s"] > 0


def test_json_has_null_instead_of_nan(usual: Comparison) -> None:
    odd = replace(
        usual,
        contrasts=(replace(usual.contrasts[0], ratio=math.nan, low=-math.inf, high=math.inf),),
    )

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    (contrast,) = json.loads(text.to_json(odd), parse_constant=refuse)["contrasts"]
    assert (contrast["ratio"], contrast["low"], contrast["high"]) == (None, None, None)


def test_a_comparison_without_any_number_can_be_written(tmp_path: Path) -> None:
    bare = analysed([replace(run, values={}) for run in sweep_runs({"tensorflow": 1.0, "theano": 1.0})])
    assert {c.ratio for c in bare.contrasts} == {None}
    assert "Times and memory" in text.markdown(bare)
    assert {row["median"] for row in read_csv(bare)} == {""}
    assert json.loads(text.to_json(bare))["contrasts"][0]["ratio"] is None
    assert text.paragraphs(bare)


# -- intervals and adjusted p ------------------------------------------------------------------------


def test_an_interval_that_excludes_1_may_be_inconclusive_and_the_tables_say_why() -> None:
    """With many pairs, Holm's p can be above 5% although the unadjusted interval excludes a ratio of 1."""
    factors = {"tensorflow": 1.0, **{f"backend{n}": 1.35 for n in range(8)}}
    crowded = analysed(sweep_runs(factors, blocks=4, noise=0.15))
    contradictions = [
        c
        for c in crowded.contrasts
        if c.verdict == INCONCLUSIVE and c.low is not None and c.low > 1 and c.p is not None and c.p < 0.05
    ]
    assert contradictions
    said = (
        "The intervals are not adjusted for the number of comparisons, but a verdict that two sides differ "
        "uses Holm's adjusted p. So a verdict can be inconclusive although its interval excludes 1 for a "
        "ratio, or 0 for a difference."
    )
    assert text.paragraphs(crowded).count(said) == 1
    found = sections(text.markdown(crowded))
    assert said in found["Times and memory"].splitlines()
    assert said in found["Loss and accuracy"].splitlines()


def test_intervals_are_not_mentioned_if_there_are_none() -> None:
    bare = analysed([replace(run, values={}) for run in sweep_runs({"tensorflow": 1.0, "theano": 1.0})])
    assert "not adjusted" not in text.markdown(bare)
    assert not any("not adjusted" in str(part) for part in text.paragraphs(bare))
