"""What a port shows: the verdict, a table of the layers, the notes, and all of it as JSON and Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backendexp.porting import layers
from backendexp.porting.archive import Archive
from backendexp.porting.comparison import Row, first_that_differs
from backendexp.porting.draft import Draft
from backendexp.porting.plan import Plan
from backendexp.porting.proof import Proof
from backendexp.reporting.tables import Table
from backendexp.runtimes import catalogue

_OLD_BACKENDS = tuple(catalogue.KERAS2.engines)
SAME, DIFFERENT, UNPROVED = "same", "different", "unproved"


@dataclass(frozen=True)
class Report:
    """The result of a port.

    verdict: SAME, DIFFERENT or UNPROVED. sentences: the verdict in words, the first of which is short.
    layers: each output of each layer, as JSON has it. notes: (layer, sentence).
    """

    verdict: str
    sentences: list[str]
    layers: list[dict[str, Any]]
    notes: list[tuple[str, str]]
    table: Table
    greatest: dict[str, float]


def of(draft: Draft, proof: Proof) -> Report:
    """Judge a proof."""
    plan, unproved = draft.plan, draft.unproved
    kinds = {layer.name: layer.kind for layer in draft.model.layers}
    rows = proof.rows
    sides = [title for title in (*proof.old[1:], *proof.new) if title in (rows[0].distances if rows else {})]
    new = [title for title in proof.new if title in sides]
    others = [title for title in proof.old[1:] if title in sides]
    wrong = {title: row for title in new if (row := first_that_differs(rows, title)) is not None}
    said = [f"{title}: not compared: {why}" for title, why in proof.failed.items()]
    if draft.archive.of_tf_keras and proof.reference in proof.old and "tf.keras" not in str(proof.reference):
        said.append(
            "tf.keras did not run the file, so Keras 2.3.1, which has the same layers, ran it instead"
        )
    if proof.reference is None:
        verdict = UNPROVED
        head = "UNPROVED: the model was converted, but the old file did not run in the keras2 runtime"
    elif wrong:
        verdict = DIFFERENT
        head = _first_difference(wrong, rows, plan, kinds)
        said = [_difference(title, row) for title, row in wrong.items()] + said
    elif draft.archive.backend is None and _between_old(rows, others, proof):
        verdict = UNPROVED
        head = (
            "UNPROVED: the file does not say which backend saved it, and Keras 2 computes different results "
            "on each. "
            f"The new model is that of {proof.reference}. If you know the backend, use --saved-on"
        )
    elif draft.archive.backend in _OLD_BACKENDS and proof.backend != draft.archive.backend:
        verdict = UNPROVED
        head = (
            f"UNPROVED: the new model computes what Keras 2 computes on {proof.reference}, but the file was "
            "saved on "
            f"{draft.archive.backend}, where it did not run"
        )
    elif (strange := next((row for row in rows if not row.finite), None)) is not None:
        verdict = UNPROVED
        head = (
            f"UNPROVED: on these inputs, {strange.output.title} of the old model gives numbers that are not "
            "finite. Give others with --inputs"
        )
    elif unproved or len(new) < len(proof.new) or not rows:
        verdict = UNPROVED
        head = "UNPROVED: " + ("; ".join(unproved) or "the new model did not run on every backend")
    else:
        verdict = SAME
        head = (
            f"The same to rounding: all {len(rows)} outputs of layers, on {_and(new)}, are those of "
            f"{proof.reference}"
        )
    said += [
        f"{row.output.title} differs at masked steps only, which no later layer reads: there {_ZEROS}"
        for row in rows
        if kinds.get(row.output.layer) == "Bidirectional" and any(row.only_masked(title) for title in new)
    ]
    said += _between_old(rows, others, proof)
    said += list(proof.built.get("said", ()))
    greatest = {title: max((_size(row, title) for row in rows), default=0.0) for title in sides}
    return Report(
        verdict,
        [head, *said],
        [_json(row, kinds) for row in rows],
        plan.notes,
        _table(rows, sides, kinds),
        greatest,
    )


def _size(row: Row, side: str) -> float:
    distance = row.unmasked[side] if row.only_masked(side) else row.distances[side]
    return float("inf") if distance is None else distance


def _first_difference(wrong: dict[str, Row], rows: Sequence[Row], plan: Plan, kinds: dict[str, str]) -> str:
    title, row = next(iter(wrong.items()))
    head = (
        f"DIFFERENT: the first layer that differs is {row.output.title} ({kinds.get(row.output.layer, '?')})"
    )
    head += f", on {_and([one for one, other in wrong.items() if other.output is row.output])}"
    why = plan.reasons.get(row.output.layer) or _reason_before(row, rows, title, kinds)
    if why is None and all(one.startswith("jax") for one in wrong) and _is_stateful(plan, row.output.layer):
        why = "predict of Keras 3 on JAX does not carry a state on to its next call; calling the model does"
    return f"{head}: {why}" if why else head


def _is_stateful(plan: Plan, name: str) -> bool:
    pieces = next(layer["pieces"] for layer in plan.model["layers"] if layer["name"] == name)
    inside = [piece["inner"].get("layer", piece) for piece in pieces]
    return any(piece["config"].get("stateful") for piece in inside)


def _reason_before(wrong: Row, rows: Sequence[Row], side: str, kinds: dict[str, str]) -> str | None:
    """Why a layer differs because of what an earlier one does with masked steps, or None."""
    before = list(rows[: rows.index(wrong) + 1])
    ends_masked = wrong.output.mask is None and any(row.output.mask is not None for row in before)
    if ends_masked and kinds.get(wrong.output.layer) == "Bidirectional":
        return f"at masked steps, {_ZEROS}"
    for row in reversed(before[:-1]):
        if row.only_masked(side):
            return f"it reads the masked steps of {row.output.title}, and there {_ZEROS}"
        if kinds.get(row.output.layer) in (*layers.MERGING, "Concatenate") and row.output.mask is not None:
            return f"of the masks of the inputs of {row.output.title}, {_MERGED}"
    return None


_ZEROS = "Bidirectional gives zeros in Keras 3, and the last result before in Keras 2"
_MERGED = "Keras 2 keeps a step if all of them keep it, Keras 3 if one of them does"


def _difference(title: str, row: Row) -> str:
    distance = row.distances[title]
    if distance is None:
        return f"{title}: {row.output.title} has no output of the shape {list(row.output.value.shape)}"
    return (
        f"{title}: {row.output.title} is {distance:.2e} away, where rounding explains {row.bound:.2e} and "
        "the "
        f"greatest number is {row.scale:.2e}"
    )


def _between_old(rows: Sequence[Row], others: Sequence[str], proof: Proof) -> list[str]:
    said = []
    for title in others:
        row = first_that_differs(rows, title)
        if row is not None:
            said.append(
                f"Keras 2 itself computes something else on {title} than on {proof.reference}, first in "
                f"{row.output.title}"
            )
    return said


def _and(titles: Sequence[str]) -> str:
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"


def _table(rows: Sequence[Row], sides: Sequence[str], kinds: dict[str, str]) -> Table:
    titles = ["layer", "class", "shape", "rounding explains", *sides]
    lines = []
    for row in rows:
        shape = " x ".join(str(size) for size in row.output.value.shape[1:]) or "1"
        cells = [row.output.title, kinds.get(row.output.layer, "?"), shape, f"{row.bound:.1e}"]
        lines.append([*cells, *(_cell(row, side) for side in sides)])
    return Table(titles, lines)


def _cell(row: Row, side: str) -> str:
    distance = row.distances[side]
    if distance is None:
        return "no such output"
    if row.only_masked(side):
        return f"{row.unmasked[side]:.1e} but for masked steps"
    return f"{distance:.1e}" + ("" if row.agrees(side) else " DIFFERS")


def _json(row: Row, kinds: dict[str, str]) -> dict[str, Any]:
    return {
        "layer": row.output.layer,
        "class": kinds.get(row.output.layer),
        "call": row.output.call,
        "output": row.output.tensor,
        "shape": list(row.output.value.shape),
        "greatest": row.scale,
        "rounding_explains": row.bound,
        "probes_grew_to": row.output.grown,
        "distance": {side: _finite(distance) for side, distance in row.distances.items()},
        "distance_of_unmasked_steps": {side: _finite(distance) for side, distance in row.unmasked.items()},
        "agrees": {side: row.agrees(side) for side in row.distances},
    }


def _finite(distance: float | None) -> float | str | None:
    return "infinite" if distance == float("inf") else distance


def as_json(report: Report, archive: Archive, proof: Proof, facts: dict[str, Any]) -> dict[str, Any]:
    """Everything, for programs. facts: what else the caller knows, such as the paths."""
    return {
        "verdict": report.verdict,
        "sentences": report.sentences,
        **facts,
        "written_by": "tf.keras" if archive.of_tf_keras else "keras",
        "keras_version": archive.keras_version,
        "saved_on": archive.backend,
        "sha256": archive.sha256,
        "reference": proof.reference,
        "versions": proof.versions,
        "failed": proof.failed,
        "greatest_distance": {side: _finite(value) for side, value in report.greatest.items()},
        "notes": [{"layer": layer, "note": text} for layer, text in report.notes],
        "layers": report.layers,
    }


def markdown(report: Report, archive: Archive) -> str:
    """The same for people, as the note of the run."""
    saved_on = archive.backend or "an unknown backend"
    head = f"`{archive.path.name}`, {archive.written_by}, saved on {saved_on}"
    said = [f"- {sentence}" for sentence in report.sentences[1:]]
    notes = [f"- {layer}: {text}" for layer, text in report.notes]
    table = (
        "The numbers of the backends are the greatest distances from the old outputs."
        if report.layers
        else ""
    )
    parts = [head, report.sentences[0], "\n".join(said), "\n".join(notes), table, report.table.markdown()]
    return "\n\n".join(part for part in parts if part) + "\n"
