"""The parity check fails when it should. The records here are made by hand to show this."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendexp.analysis import trajectories
from backendexp.errors import UserError
from backendexp.runs.plan import RunSpec, with_probe
from backendexp.runs.record import RunRecord
from backendexp.runtimes import catalogue
from support import streams

Make = Callable[..., RunRecord]
MakeSpec = Callable[..., RunSpec]

LOSSES = (0.7, 0.6, 0.5)


@pytest.fixture
def parity_spec(make_spec: MakeSpec) -> RunSpec:
    """The plan of `experiment=parity`, with 2 steps in each epoch."""
    return make_spec(model__dropout=0.0, training__optimizer="sgd")


@pytest.fixture
def make(tmp_path: Path, parity_spec: RunSpec) -> Make:
    """A function: make("jax", "keras3", losses, probe=1, optimizer="adam") returns a finished record."""

    def record_of(
        backend: str,
        runtime: str = "keras3",
        losses: Iterable[float] = LOSSES,
        probe: int = 0,
        optimizer: str = "sgd",
        stream: list[dict[str, object]] | None = None,
        **fields: str,
    ) -> RunRecord:
        training = replace(parity_spec.training, optimizer=optimizer)
        spec = replace(parity_spec, backend=backend, runtime=runtime, training=training)
        told_events = streams.whole(losses, **fields) if stream is None else stream  # type: ignore[arg-type]
        return streams.record_of(tmp_path, with_probe(spec, probe), told_events)

    return record_of


def moved(by: float, losses: Iterable[float] = LOSSES) -> list[float]:
    return [loss + by for loss in losses]


# -- differences that rounding explains --------------------------------------------------------------


def test_bound_is_the_growth_of_one_error_times_the_steps_so_far() -> None:
    bounds = trajectories.rounding_bounds([0.0, 0.0], [[1e-6, 4e-6], [-2e-6, 0.0]], 8, 128)
    assert bounds == pytest.approx([2e-6 * 8, 4e-6 * 16])


def test_bound_includes_a_rounding_for_each_step_and_those_of_the_mean() -> None:
    """There are 3 steps. The mean over a batch of 128 rounds 7 times, and the mean over the epoch 3 times."""
    for probes in ([[0.5]], []):
        assert trajectories.rounding_bounds([0.5], probes, 3, 128) == [0.5 * 2.0**-24 * (3 + 7 + 3)]


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from([1, 2, 32, 100, 128]))
def test_means_of_equal_losses_in_another_order_are_within_the_bound(
    seed: int, steps: int, batch: int
) -> None:
    losses = np.random.default_rng(seed).uniform(0.1, 2, (steps, batch)).astype("float32")

    def mean_of(losses: np.ndarray[Any, Any]) -> float:
        total = np.float32(0)
        for of_batch in losses:
            total += of_batch.mean(dtype="float32")
        return float(total / np.float32(steps))

    loss, other = mean_of(losses), mean_of(losses[::-1, ::-1])
    # Both numbers are rounded.
    assert abs(other - loss) <= 2 * trajectories.rounding_bounds([loss], [], steps, batch)[0]


losses_of_a_run = st.lists(st.floats(0, 100), min_size=1, max_size=20)


@given(st.data(), losses_of_a_run, st.integers(1, 1000))
def test_probes_never_lower_a_bound_and_their_growth_is_not_forgotten(
    data: st.DataObject, losses: list[float], steps: int
) -> None:
    same_length = st.lists(st.floats(0, 100), min_size=len(losses), max_size=len(losses))
    probes = data.draw(st.lists(same_length, max_size=3))
    bounds = trajectories.rounding_bounds(losses, probes, steps, 128)
    without = trajectories.rounding_bounds(losses, [], steps, 128)
    assert len(bounds) == len(losses)
    assert all(bound >= least >= 0 for bound, least in zip(bounds, without, strict=True))
    for number, bound in enumerate(bounds):
        furthest = max([abs(p[n] - losses[n]) for p in probes for n in range(number + 1)], default=0.0)
        assert bound >= furthest * steps * (number + 1)


@given(losses_of_a_run, st.integers(1, 1000), st.floats(0, 1e-3))
def test_bound_of_a_steady_loss_grows_with_every_epoch(losses: list[float], steps: int, error: float) -> None:
    steady = [losses[0]] * len(losses)
    bounds = trajectories.rounding_bounds(steady, [moved(error, steady)], steps, 128)
    assert bounds == sorted(bounds)


# -- judging -----------------------------------------------------------------------------------------


def test_equal_trajectories_agree(make: Make) -> None:
    records = [make("tensorflow"), make("jax"), make("theano", "keras2")]
    differences = trajectories.differences_of_runs(records)
    assert [(d.title, d.agrees, d.distance) for d in differences] == [
        ("jax on keras3, seed 0", True, 0.0),
        ("theano on keras2, seed 0", True, 0.0),
    ]
    agree, text = trajectories.verdict(differences, records, [])
    assert agree
    assert text.splitlines()[0] == "Agreement: greatest difference of the loss 0.00e+00"
    assert "- jax on keras3, seed 0 agrees with tensorflow on keras3, seed 0: 0.00e+00 after" in text


def test_backend_that_computes_something_else_differs(make: Make, parity_spec: RunSpec) -> None:
    records = [
        make("tensorflow"),
        make("tensorflow", losses=moved(1e-8), probe=1),
        make("jax", losses=[0.7, 0.6, 0.501]),
    ]
    (difference,) = trajectories.differences_of_runs(records)
    assert difference.agrees is False
    assert difference.distance == pytest.approx(1e-3)
    assert difference.epoch == 3
    rounding = 2.0**-24 * 0.5
    as_mean = math.ceil(math.log2(parity_spec.training.batch_size)) + 2
    assert difference.bound == pytest.approx(rounding * (2 * 3 + as_mean))
    agree, text = trajectories.verdict([difference], records, [])
    assert not agree
    assert text.splitlines()[0] == "NO agreement: greatest difference of the loss 1.00e-03"
    assert "- jax on keras3, seed 0 DIFFERS from tensorflow on keras3, seed 0: 1.00e-03 after epoch 3" in text


def test_distance_that_probes_of_the_reference_explain_is_agreement(make: Make) -> None:
    other = make("jax", losses=moved(5e-6))
    assert [d.agrees for d in trajectories.differences_of_runs([make("tensorflow"), other])] == [False]
    probed = [make("tensorflow"), make("tensorflow", losses=moved(4e-6), probe=1), other]
    assert [d.agrees for d in trajectories.differences_of_runs(probed)] == [True]


def test_probes_of_another_backend_explain_nothing(make: Make) -> None:
    records = [make("tensorflow"), make("jax", losses=moved(4e-6), probe=1), make("jax", losses=moved(5e-6))]
    assert [d.agrees for d in trajectories.differences_of_runs(records)] == [False]


def test_difference_that_vanishes_again_is_still_reported(make: Make) -> None:
    """The largest distance is within the bound of its epoch, but a smaller, earlier distance is not."""
    reference = make("tensorflow", losses=(0.5, 0.5, 0.5))
    probe = make("tensorflow", losses=(0.5, 0.5, 0.6), probe=1)
    (difference,) = trajectories.differences_of_runs(
        [reference, probe, make("jax", losses=(0.51, 0.5, 0.58))]
    )
    assert (difference.agrees, difference.epoch) == (False, 1)


def test_loss_of_zero_can_be_judged(make: Make) -> None:
    """A hinge loss can be exactly zero, where rounding explains no difference."""
    reference, other = make("tensorflow", losses=(0.5, 0.0)), make("jax", losses=(0.5, 1e-3))
    (difference,) = trajectories.differences_of_runs([reference, other])
    assert (difference.agrees, difference.epoch) == (False, 2)


@given(st.floats(1e-6, 10), st.floats(1e-3, 1))
def test_any_difference_beyond_rounding_is_found(loss: float, difference: float) -> None:
    bound = trajectories.rounding_bounds([loss], [[loss]], 8, 128)[0]
    judged = trajectories.Difference("b", "a", difference, bound, 1, None)
    assert judged.agrees == (difference <= bound)
    agree, text = trajectories.verdict([judged], [], [])
    assert agree == judged.agrees
    assert text.startswith("Agreement" if agree else "NO agreement")


def test_unlike_formulas_are_not_compared_and_it_is_reported_why(make: Make) -> None:
    records = [
        make("tensorflow", optimizer="rmsprop"),
        make("jax", optimizer="rmsprop"),
        make("tensorflow", "keras2", losses=(0.7, 0.5, 0.3), optimizer="rmsprop"),
        make("theano", "keras2", losses=(0.7, 0.5, 0.3), optimizer="rmsprop"),
    ]
    differences = trajectories.differences_of_runs(records)
    assert [(d.title.split(",")[0], d.reference.split(",")[0], d.agrees) for d in differences] == [
        ("jax on keras3", "tensorflow on keras3", True),
        ("theano on keras2", "tensorflow on keras2", True),
    ]
    agree, _ = trajectories.verdict(differences, records, [])
    assert agree


def test_run_that_is_alone_with_its_formula_is_distinguished(make: Make) -> None:
    records = [
        make("tensorflow", optimizer="adam"),
        make("jax", optimizer="adam"),
        make("tensorflow", "keras2", losses=(0.7, 0.5, 0.3), optimizer="adam"),
        make("theano", "keras2", optimizer="adam"),
    ]
    differences = trajectories.differences_of_runs(records)
    alone = next(d for d in differences if d.title.startswith("tensorflow on keras2"))
    assert (alone.agrees, alone.bound) == (None, None)
    assert alone.unlike == catalogue.UNLIKE_FORMULAS["adam", "keras2", "tensorflow"]
    agree, text = trajectories.verdict(differences, records, [])
    assert agree
    assert (
        "tensorflow on keras2, seed 0: not compared with tensorflow on keras3, seed 0: on TensorFlow" in text
    )


def test_runs_with_dropout_are_not_compared_and_do_not_count_as_agreement(make: Make) -> None:
    records = [make("tensorflow"), make("jax")]
    dropping = [replace(r, spec=replace(r.spec, model=replace(r.spec.model, dropout=0.5))) for r in records]
    differences = trajectories.differences_of_runs(dropping)
    assert [d.agrees for d in differences] == [None]
    agree, text = trajectories.verdict(differences, dropping, [])
    assert not agree
    assert text.splitlines()[0] == "NO agreement: nothing could be compared"
    assert "dropout draws from the random stream of jax on keras3" in text


def judged(records: list[RunRecord], **results: object) -> tuple[list[bool | None], str]:
    """Return whether each run agrees, and the text, if the worker of each run told these `results`."""
    told = [
        replace(record, result=replace(record.result, **results))  # type: ignore[type-var, arg-type]
        for record in records
    ]
    differences = trajectories.differences_of_runs(told)
    return [d.agrees for d in differences], trajectories.verdict(differences, told, [])[1]


def test_runs_whose_dropout_was_switched_off_are_compared(make: Make) -> None:
    records = [
        replace(
            r,
            spec=replace(
                r.spec,
                model=replace(r.spec.model, dropout=0.5),
                controls=replace(r.spec.controls, dropout=False),
            ),
        )
        for r in (make("tensorflow"), make("jax"))
    ]
    assert judged(records, random_layers=())[0] == [True]


def test_runs_with_a_layer_that_is_random_otherwise_are_not_compared_and_it_is_named(make: Make) -> None:
    agrees, text = judged([make("tensorflow"), make("jax")], random_layers=("flip (RandomFlip)",))
    assert agrees == [None]
    assert "flip (RandomFlip) draws from the random stream of jax on keras3" in text


def test_run_of_an_engine_with_another_formula_is_not_compared(make: Make) -> None:
    odd = make("theano", "keras2", losses=moved(0.1))
    odd = replace(odd, result=replace(odd.result, unlike_engine="it pools in its own way"))  # type: ignore[type-var]
    records = [make("tensorflow"), make("jax"), odd]
    agree, text = trajectories.verdict(trajectories.differences_of_runs(records), records, [])
    assert agree
    assert "theano on keras2, seed 0: not compared with" in text
    assert "it pools in its own way" in text


def test_layers_that_the_generations_compute_differently_are_named_if_both_took_part(make: Make) -> None:
    unlike = {"unlike_layers": ("norm (BatchNormalization): another variance",)}
    assert (
        "- norm (BatchNormalization): another" in judged([make("jax"), make("theano", "keras2")], **unlike)[1]
    )
    assert "norm" not in judged([make("jax"), make("theano")], **unlike)[1]


@pytest.mark.parametrize(
    ("controls", "model", "layers", "draws"),
    [
        (True, 0.5, None, "dropout"),
        (True, "0.5", None, "dropout"),
        (True, "0.0", None, None),
        (True, None, None, None),
        (False, 0.5, None, None),
        (False, 0.5, (), None),
        (False, 0.5, ("a (B)", "c (D)"), "a (B) and c (D)"),
        (True, None, ("dropout (Dropout)",), "dropout (Dropout)"),
    ],
)
def test_what_draws_is_told_by_the_layers_or_by_the_plan(
    controls: bool, model: object, layers: tuple[str, ...] | None, draws: str | None
) -> None:
    assert trajectories.what_draws(controls, model, layers) == draws


@pytest.mark.parametrize("control", ["initial_weights", "batch_order"])
def test_runs_that_draw_their_own_weights_or_batches_are_not_compared(control: str, make: Make) -> None:
    records = [
        replace(r, spec=replace(r.spec, controls=replace(r.spec.controls, **{control: False})))
        for r in (make("tensorflow"), make("jax"))
    ]
    assert [d.agrees for d in trajectories.differences_of_runs(records)] == [None]


@pytest.mark.parametrize(
    ("fields", "what"),
    [({"data_digest": "e" * 64}, "data"), ({"weights_digest": "e" * 64}, "initial weights")],
)
def test_runs_with_other_data_or_weights_are_refused(fields: dict[str, str], what: str, make: Make) -> None:
    with pytest.raises(
        UserError,
        match=rf"jax on keras3, seed 0 had different {what} from tensorflow on keras3, seed 0: their digests",
    ):
        trajectories.differences_of_runs([make("tensorflow"), make("jax", **fields)])


def test_run_that_failed_spoils_the_verdict_and_is_named(make: Make) -> None:
    records = [make("tensorflow"), make("jax"), make("theano", "keras2", stream=streams.killed_in_epoch_3())]
    differences = trajectories.differences_of_runs(records)
    assert [d.title for d in differences] == ["jax on keras3, seed 0"]
    agree, text = trajectories.verdict(differences, records, [])
    assert not agree
    assert "- theano on keras2, seed 0: did not finish" in text


def test_no_finished_runs_do_not_count_as_agreement(make: Make) -> None:
    records = [make(backend, stream=streams.killed_in_epoch_3()) for backend in ("tensorflow", "jax")]
    assert trajectories.differences_of_runs(records) == []
    assert trajectories.verdict([], records, [])[0] is False


def test_missing_backends_are_named(make: Make) -> None:
    records = [make("tensorflow"), make("jax")]
    _, text = trajectories.verdict(
        trajectories.differences_of_runs(records), records, ["torch on keras3: no module named 'torch'"]
    )
    assert text.endswith("- not here: torch on keras3: no module named 'torch'")


# -- planning ----------------------------------------------------------------------------------------


def test_plan_holds_what_can_run_here_probes_of_the_reference_and_what_is_missing(
    parity_spec: RunSpec,
) -> None:
    planned = trajectories.plan_parity(parity_spec, 2, print)
    places = [(s.backend, s.runtime) for s in planned.specs if not s.probe]
    everywhere = [(b, facts.name) for facts in catalogue.RUNTIMES.values() for b in facts.engines]
    assert set(places) <= set(everywhere)
    assert len(places) + len(planned.missing) == len(everywhere)
    probes = [(s.backend, s.runtime, s.probe) for s in planned.specs if s.probe]
    assert probes == [(*places[0], 1), (*places[0], 2)]


def test_runtime_that_does_not_know_a_name_of_the_plan_is_missing_and_not_run(
    parity_spec: RunSpec,
) -> None:
    training = replace(parity_spec.training, optimizer="lion")
    planned = trajectories.plan_parity(replace(parity_spec, training=training), 1, print)
    assert {s.runtime for s in planned.specs} == {"keras3"}
    (said,) = [line for line in planned.missing if line.startswith("theano on keras2")]
    assert "training.optimizer is 'lion'" in said
