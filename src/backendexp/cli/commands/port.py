"""`backendexp port` brings a model file of Keras 1 or 2 into Keras 3, and proves that it computes the same.

The new file is an ordinary .keras file, which any Keras 3 loads. The old file runs in the keras2 runtime, the
new one on every backend of keras3, and their outputs are compared layer by layer. No code in the old file is
run.
"""

import argparse
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from backendexp import cache, places
from backendexp.cli.exit_codes import NOT_TRACKED, OK, RUN_FAILED
from backendexp.config.schema import TrackingConfig, check_store
from backendexp.errors import UserError
from backendexp.porting import archive, draft, proof, report, track
from backendexp.porting.proof import Place
from backendexp.runs import session
from backendexp.runs.plan import usable_cores
from backendexp.runtimes import catalogue, prepare
from backendexp.spelling import nearest

_TARGETS = "Make room, or choose another file: -o FOLDER/model.keras"


def main(arguments: list[str]) -> int:
    """Port a model and return the exit code.

    0: the new model computes the same, to rounding. 1: it was converted, and differs or is unproved. 2: the
    input was bad. 3: as 0, but the store did not take the run.
    Raises UserError: the input was bad.
    """
    asked = _parse(arguments)
    joined = os.environ.pop("MLFLOW_RUN_ID", None)  # of the run that `mlflow run` has made
    custom = draft.names_of(asked.custom)
    found = archive.read(asked.file, asked.weights, asked.saved_on)
    drawn = draft.make(found, custom, asked.trust, asked.inputs, asked.seed)
    target = _target(asked)
    new, missing = _new_places(asked.backends)
    old = _old_places(asked.old_backends, found)
    cache.check_temporary()
    began = time.time()
    folder = _folder(began)
    _say(f"{asked.file}: {len(drawn.model.layers)} layers of {found.written_by}")
    task = drawn.task(asked.custom, target, folder, asked.threads or usable_cores(), asked.timeout)
    workers = proof.Workers(_say, parallel=max(1, min(usable_cores(), 4)))
    try:
        proved = proof.prove(task, old, new, workers)
    except proof.NotBuilt:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        workers.close()
    told = report.of(drawn, proved)
    facts = {
        "file": str(asked.file),
        "keras_file": str(target),
        "parameters": proved.built["parameters"],
        "inputs": "given" if asked.inputs else f"drawn with seed {asked.seed}",
        "not_here": missing,
        "seconds": round(time.time() - began, 1),
    }
    whole = report.as_json(told, found, proved, facts)
    where, note = _destination(asked), report.markdown(told, found)
    tracked = track.record(whole, told, task, began, where, note, joined)
    if asked.json:
        print(json.dumps(whole, indent=1))
    else:
        _print(told, whole, drawn.plan.custom, asked.custom)
        for line in tracked.said:
            print(line)
    code = OK if told.verdict == report.SAME else RUN_FAILED
    return code or (OK if tracked.stored else NOT_TRACKED)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("backendexp port", description=__doc__)
    parser.add_argument(
        "file", type=Path, help="the old model: .h5 or .hdf5, or its architecture in JSON or YAML"
    )
    parser.add_argument(
        "-o", "--output", type=Path, help="the new file (default: beside the old one, as .keras)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the new file if it exists")
    parser.add_argument("--weights", type=Path, help="the weights of an architecture in JSON or YAML")
    parser.add_argument("--inputs", type=Path, help="an .npz file with a batch of inputs (default: drawn)")
    parser.add_argument(
        "--seed", type=int, default=0, help="the seed that inputs are drawn with (default: 0)"
    )
    parser.add_argument(
        "--custom",
        type=Path,
        help="a file of yours that defines layers and functions, by the names of the old file",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run the code of Lambda layers in the old file, in the keras2 runtime",
    )
    parser.add_argument(
        "--saved-on",
        choices=["tensorflow", "theano", "cntk"],
        help="the backend that saved it, if the file has it not",
    )
    parser.add_argument(
        "--backends", help="those of the new model, separated by commas (default: all that are here)"
    )
    parser.add_argument("--old-backends", help="those of the old model (default: tensorflow,theano)")
    parser.add_argument("--threads", type=int, help="of each engine (default: all cores)")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds for each step (default: 1800)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--no-tracking", action="store_true", help="make no MLflow run")
    parser.add_argument("--uri", help="the tracking store; tracking.uri=URI does the same")
    parser.add_argument("--experiment", help="the MLflow experiment (default: backendexp)")
    arguments = [re.sub(r"^tracking\.(uri|experiment)=", r"--\1=", word) for word in arguments]
    asked = parser.parse_args(arguments)
    if asked.threads is not None and asked.threads < 1:
        raise UserError(f"--threads is {asked.threads}. Expected 1 or more")
    if not asked.timeout > 0:
        raise UserError(f"--timeout is {asked.timeout:g}. Expected a number of seconds above 0")
    if not 0 <= asked.seed < 2**32:
        raise UserError(f"--seed is {asked.seed}. Expected a number from 0 to {2**32 - 1}")
    if asked.uri:
        check_store("--uri", asked.uri)
    return asked


def _target(asked: argparse.Namespace) -> Path:
    target: Path = asked.output or asked.file.with_suffix(".keras")
    if target.suffix != ".keras":
        raise UserError(f"-o {target} does not end with .keras, which Keras 3 expects. Use -o {target}.keras")
    if target.exists() and not asked.overwrite:
        raise UserError(f"{target} exists. Choose another file with -o, or replace it with --overwrite")
    if not target.parent.is_dir():
        raise UserError(f"{target.parent} is no folder. Expected the folder for {target.name}")
    if (why := cache.why_not(target.parent)) is not None:
        raise UserError(places.sentence(why, target, _TARGETS))
    return target.absolute()


def _chosen(option: str, given: str, known: Sequence[str]) -> list[str]:
    names = [name.strip() for name in given.split(",") if name.strip()]
    wrong = next((name for name in names if name not in known), None)
    if wrong is not None or not names:
        raise UserError(
            f"{option} has {wrong or given!r}. {nearest(wrong, known) if wrong else ''}Expected some of "
            f"{', '.join(known)}, separated by commas"
        )
    return list(dict.fromkeys(names))


def _new_places(given: str | None) -> tuple[list[Place], list[str]]:
    """The backends of the new model, and why others are not here."""
    engines = catalogue.KERAS3.engines
    chosen = _chosen("--backends", given, list(engines)) if given else list(engines)
    found, missing = [], []
    for name in chosen:
        place = Place(catalogue.KERAS3.name, name)
        try:
            prepare.check_available(place)
            found.append(place)
        except UserError as error:
            if given:
                raise
            missing.append(str(error).splitlines()[0])
    if not found:
        raise UserError("no backend of Keras 3 can run here: " + "; ".join(missing))
    return found, missing


def _old_places(given: str | None, found: archive.Archive) -> list[Place]:
    """Where the old model runs: in tf.keras, or on the backends of Keras 2, first the one that saved it."""
    engines = list(catalogue.KERAS2.engines)
    names = _chosen("--old-backends", given, engines) if given else engines
    if found.of_tf_keras:
        if "tensorflow" not in names:
            raise UserError(
                f"--old-backends is {given}, but {found.path} is of tf.keras, which only runs on tensorflow. "
                "Leave the option out"
            )
        return [Place(catalogue.KERAS2.name, "tensorflow", tf_keras=True)]
    names.sort(key=lambda name: name != found.backend)
    return [Place(catalogue.KERAS2.name, name) for name in names]


def _folder(began: float) -> Path:
    """The folder of the report, below `outputs`, as Hydra lays out the folders of runs."""
    moment = datetime.fromtimestamp(began)
    place = Path("outputs").absolute() / f"{moment:%Y-%m-%d}" / f"{moment:%H-%M-%S}-port"
    with places.writing(place, places.RUNS):
        number = 1
        while True:
            folder = place if number == 1 else place.with_name(f"{place.name}-{number}")
            try:
                folder.mkdir(parents=True)
                return folder
            except FileExistsError:
                number += 1


def _destination(asked: argparse.Namespace) -> session.Destination:
    kind = "none" if asked.no_tracking else "mlflow"
    return session.destination(
        TrackingConfig(kind=kind, uri=asked.uri, experiment=asked.experiment), Path.cwd()
    )


def _print(told: report.Report, whole: dict[str, Any], custom: frozenset[str], file: Path | None) -> None:
    from backendexp.reporting.terminal import print_table

    if told.table.rows:
        print(f"How far each output is at most from that of {whole['reference']}:")
        print_table(told.table)
    for layer, text in told.notes:
        print(f"Note: {layer}: {text}")
    for sentence in whole["not_here"]:
        print(f"Note: not here: {sentence}")
    print(told.sentences[0])
    for sentence in told.sentences[1:]:
        print(f"- {sentence}")
    print(f"  model  {whole['keras_file']}")
    if file is None or not custom:
        print(f"  load it with  keras.saving.load_model({Path(whole['keras_file']).name!r})")
    else:
        names = ", ".join(f"{name!r}: {file.stem}.{name}" for name in sorted(custom))
        load = f"keras.saving.load_model({Path(whole['keras_file']).name!r}, custom_objects={{{names}}})"
        print(f"  load it with  import {file.stem}; {load}")


def _say(text: str) -> None:
    # In one piece, because several threads say something.
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
