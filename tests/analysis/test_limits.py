"""The expressions of --fail-if are parsed and judged correctly."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendexp.analysis import limits, pipeline
from backendexp.analysis.findings import (
    Comparison,
)
from backendexp.analysis.limits import LimitOutcome
from backendexp.errors import UserError
from support.tracked import MEASURES, QUALITIES, moved, sweep_runs


def compared(factor: float = 1.5, noise: float = 0.02, blocks: int = 10, **fields: float) -> Comparison:
    quality = {"theano": fields.pop("quality", 0.0)}
    runs = sweep_runs({"tensorflow": 1.0, "theano": factor}, blocks, noise, quality)
    return pipeline.analyse(runs, title="a title")


def found(comparison: Comparison, expression: str) -> list[LimitOutcome]:
    return limits.check(comparison, [limits.parse(expression)])


names = st.sampled_from([name for m in MEASURES for name in (m.key, m.key.rpartition("/")[2])])
operators = st.sampled_from([">", ">=", "<", "<="])
spaces = st.sampled_from(["", " ", "  "])


@given(names, operators, st.floats(0.001, 1000), spaces, spaces)
def test_an_expression_reads_as_it_is_written(
    name: str, operator: str, number: float, before: str, after: str
) -> None:
    limit = limits.parse(f"{before}{name}{before}{operator}{after}{number!r}{after}")
    assert limit.measure.key.endswith(name)
    assert (limit.operator, limit.number) == (operator, number)
    assert limit.holds(number) == (operator in (">=", "<="))
    assert limit.holds(2 * number) == (operator in (">", ">="))
    assert limit.holds(number / 2) == (operator in ("<", "<="))


def test_a_difference_may_be_negative_and_a_ratio_may_not() -> None:
    for measure in QUALITIES:
        assert limits.parse(f"{measure.key} < -0.05").number == -0.05
    with pytest.raises(UserError, match=r"compares with -0\.05: expected a ratio to the baseline, which is"):
        limits.parse("training_time_s < -0.05")
    with pytest.raises(UserError, match="compares with 0: expected a ratio"):
        limits.parse("peak_mib > 0")


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "cannot be read. Expected MEASURE OP NUMBER"),
        ("training_time_s", "cannot be read. Expected MEASURE OP NUMBER"),
        ("training_time_s > 1.2 x", "cannot be read. Expected MEASURE OP NUMBER"),
        ("training_time_s = 1.2", "cannot be read. Expected MEASURE OP NUMBER, OP one of >=, <=, >, <"),
        ("1.2 < training_time_s", "'1.2 < training_time_s' cannot be read"),
        (
            "trainig_time_s > 1",
            "on 'trainig_time_s', which is not compared. Did you mean 'training_time_s'?",
        ),
        ("zzz > 1", "Expected one of: import_s, build_s, compilation_s, training_time_s, steady_epoch_s"),
        ("training_time_s > 120%", "compares with '120%': expected a number, e.g. 'training_time_s > 1.2'"),
        ("training_time_s > nan", "compares with 'nan': expected a number"),
        ("training_time_s > inf", "compares with 'inf': expected a number"),
    ],
)
def test_invalid_limit_is_refused(expression: str, said: str) -> None:
    with pytest.raises(UserError) as refusal:
        limits.parse(expression)
    assert str(refusal.value).startswith(f"the limit {expression!r} ")
    assert said in str(refusal.value)


def test_a_limit_that_is_broken_names_the_pair_the_estimate_and_its_interval() -> None:
    comparison = compared(1.5)
    (finding,) = found(comparison, "training_time_s > 1.2")
    contrast = next(c for c in comparison.contrasts if c.measure.key == "training_time_s")
    assert contrast.low is not None
    assert contrast.low > 1.2
    assert not finding.kept
    assert finding.sentence == (
        f"training_time_s > 1.2: theano against tensorflow: yes, the ratio is {contrast.ratio:.2f} "
        f"(95% interval {contrast.low:.2f} to {contrast.high:.2f})"
    )


def test_a_limit_that_is_kept_says_so_too() -> None:
    (finding,) = found(compared(1.0), "training_time_s > 1.2")
    assert finding.kept
    assert finding.sentence.startswith("training_time_s > 1.2: theano against tensorflow: no, the ratio is ")


def test_a_limit_within_the_interval_is_broken_and_reported_as_uncertain() -> None:
    comparison = compared(1.2, noise=0.3)
    contrast = next(c for c in comparison.contrasts if c.measure.key == "training_time_s")
    assert contrast.ratio is not None
    just_below = contrast.ratio - 0.001
    (finding,) = found(comparison, f"training_time_s > {just_below!r}")
    assert not finding.kept
    assert finding.sentence.endswith(f"the interval holds {just_below:g}, so it may be noise")


def test_a_quality_is_limited_by_its_difference() -> None:
    worse = compared(1.0, quality=-0.2)
    (finding,) = found(worse, "accuracy < -0.05")
    assert not finding.kept
    assert "yes, the difference is \N{MINUS SIGN}0." in finding.sentence
    assert "(90% interval" in finding.sentence
    assert all(finding.kept for finding in found(worse, "accuracy > 0.05"))
    assert all(finding.kept for finding in found(compared(1.0), "accuracy < -0.05"))


def test_limit_cannot_be_judged_if_runs_overlapped_with_others() -> None:
    runs = [replace(run, parallel=True) for run in sweep_runs({"tensorflow": 1.0, "theano": 1.0})]
    comparison = pipeline.analyse(runs, title="a title")
    (finding,) = found(comparison, "training_time_s > 1.2")
    assert not finding.kept
    assert "cannot tell. theano against tensorflow in training_time_s has no verdict: " in finding.sentence
    assert "ran beside others" in finding.sentence
    assert all(finding.kept for finding in found(comparison, "accuracy < -0.2"))


def test_limit_cannot_be_judged_with_too_few_blocks() -> None:
    runs = sweep_runs({"tensorflow": 1.0, "theano": 1.0, "jax": 1.0}, blocks=5)
    late = [run for run in runs if run.backend != "jax" or run.seed < 2]
    theano, jax = sorted(
        found(pipeline.analyse(late, title="a title"), "training_time_s > 1.2"),
        key=lambda finding: "jax against" in finding.sentence,
    )
    assert theano.kept
    assert not jax.kept
    assert jax.sentence.endswith("jax against tensorflow: cannot tell, they have 2 complete blocks")


def test_limit_cannot_be_judged_for_a_missing_measure() -> None:
    runs = sweep_runs({"tensorflow": 1.0, "theano": 1.0})
    short = [
        replace(run, values={k: v for k, v in run.values.items() if k != "time/steady_epoch_s"})
        for run in runs
    ]
    (finding,) = found(pipeline.analyse(short, title="a title"), "steady_epoch_s > 1.2")
    assert not finding.kept
    assert "cannot tell" in finding.sentence


def test_each_group_is_limited_against_the_baseline_of_its_own_keras() -> None:
    old = {"runtime": "keras2", "tags": {"keras_version": "2.3.1"}}
    new = sweep_runs({"tensorflow": 1.0, "theano": 1.0})
    comparison = pipeline.analyse(
        [*new, *moved(sweep_runs({"tensorflow": 1.0, "theano": 2.0}, **old), len(new))], title="a title"
    )
    findings = {f.sentence.split(": ")[1]: f.kept for f in found(comparison, "training_time_s > 1.2")}
    assert findings == {
        "theano (keras3) against tensorflow (keras3)": True,
        "theano (keras2) against tensorflow (keras2)": False,
    }


def test_of_two_sweeps_each_backend_is_limited_against_itself() -> None:
    before = sweep_runs({"tensorflow": 1.0, "theano": 1.0}, sweep="a/1")
    after = moved(sweep_runs({"tensorflow": 1.0, "theano": 2.0}, seed=1), len(before), sweep="b/2")
    comparison = pipeline.analyse([*before, *after], title="a title", by_sweep=True)
    findings = {f.sentence.split(": ")[1]: f.kept for f in found(comparison, "training_time_s > 1.2")}
    assert findings == {
        "tensorflow, b/2 against tensorflow, a/1": True,
        "theano, b/2 against theano, a/1": False,
    }


def test_limit_cannot_be_judged_if_the_second_sweep_lacks_the_backend() -> None:
    before = sweep_runs({"tensorflow": 1.0, "theano": 1.0}, sweep="a/1")
    after = moved(sweep_runs({"tensorflow": 1.0}, seed=1), len(before), sweep="b/2")
    comparison = pipeline.analyse([*before, *after], title="a title", by_sweep=True)
    kept, gone = found(comparison, "training_time_s > 1.2")
    assert kept.kept
    assert not gone.kept
    assert gone.sentence.endswith("cannot tell, nothing was run to compare with theano, a/1")


def test_every_limit_is_judged() -> None:
    asked = [limits.parse(expression) for expression in ("training_time_s > 1.2", "loss > 1", "peak_mib > 9")]
    findings = limits.check(compared(1.5), asked)
    assert [(f.sentence.split(":")[0], f.kept) for f in findings] == [
        ("training_time_s > 1.2", False),
        ("loss > 1", True),
        ("peak_mib > 9", True),
    ]
