"""Answers the tutorial's own question: writes docs/tutorial-revisited.md from real runs on this machine.

It first does what the tutorial does, on the tutorial's exact versions: one run of each backend with nothing
compiled beforehand, and then a second run. It then does what the question needs: randomised blocks, on the
tutorial's versions and on Keras 3. This takes about ten minutes on an idle machine.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import measure

from backendexp.analysis import pipeline, tracked_runs
from backendexp.analysis.findings import Comparison, Group
from backendexp.reporting import text
from backendexp.reporting.tables import Table
from backendexp.runs import machine, record
from backendexp.runs.plan import usable_cores
from backendexp.runs.results import RunResult

PAGE = Path(__file__).parents[1] / "docs" / "tutorial-revisited.md"
TUTORIAL = "https://data-flair.training/blogs/keras-backend/"
BACKENDS = ("tensorflow", "theano")
# The numbers that the tutorial prints, in the columns of our table. It times the whole fit and no single
# epoch.
PRINTED = [
    ["the tutorial", "tensorflow", "0.5446", "-", "-", "0.4199"],
    ["the tutorial", "theano", "1.066", "-", "-", "0.6700"],
]


@dataclass(frozen=True)
class SingleRuns:
    """The results of one run of each backend, and what the tutorial would conclude from them."""

    title: str
    results: dict[str, RunResult]

    @property
    def faster(self) -> str:
        return min(self.results, key=lambda backend: _training(self.results[backend]))

    @property
    def more_accurate(self) -> str:
        accuracies = {backend: result.accuracy for backend, result in self.results.items()}
        if len(set(accuracies.values())) == 1:
            return "neither"
        return max(accuracies, key=lambda backend: accuracies[backend] or 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--blocks", type=int, default=10, help="number of blocks in each comparison; default: 10"
    )
    parser.add_argument("--output", type=Path, default=PAGE, help="default: docs/tutorial-revisited.md")
    asked = parser.parse_args()
    with measure.laboratory(None) as lab:
        # The compile cache of the new folder is empty, so that the first run is like that of a newcomer.
        project = lab.new_folder()
        single_runs = [
            SingleRuns(title, {backend: _run(project, backend, number) for backend in BACKENDS})
            for number, title in enumerate(("first run", "second run"))
        ]
        found = [_compare(project, runtime, asked.blocks) for runtime in ("keras2", "keras3")]
    asked.output.write_text(_page(single_runs, *found))
    measure.say(f"wrote {asked.output}")


def _run(project: Path, backend: str, number: int) -> RunResult:
    folder = f"{backend}-{number}"
    measure.say(f"one run on {backend}, as the tutorial does it")
    _backendexp(project, folder, "experiment=tutorial", "runtime=keras2", f"backend={backend}")
    (directory,) = record.find([project / folder])
    result = record.load(directory).result
    assert result is not None
    return result


def _compare(project: Path, runtime: str, blocks: int) -> Comparison:
    measure.say(f"{blocks} blocks on {runtime}")
    _backendexp(project, runtime, "experiment=compare", f"runtime={runtime}", f"compare.blocks={blocks}")
    records = [record.load(directory) for directory in record.find([project / runtime])]
    return pipeline.analyse(tracked_runs.of_records(records), title=runtime, baseline="tensorflow")


def _backendexp(project: Path, folder: str, *settings: str) -> None:
    command = [sys.executable, "-m", "backendexp", *settings, f"hydra.run.dir={project / folder}"]
    done = subprocess.run(
        command, cwd=project, env=measure.own_environment(), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nexited with code {done.returncode}:\n{done.stdout[-2000:]}")


# -- the page ----------------------------------------------------------------------------------------


def _page(single_runs: list[SingleRuns], keras2: Comparison, keras3: Comparison) -> str:
    first, again = single_runs
    opening = (
        f"[A tutorial on Keras's backends]({TUTORIAL}) trains one small MLP on random data, once under "
        "TensorFlow and once under Theano. It prints a time, a loss and an accuracy for each, and concludes: "
        '"TensorFlow takes less time in training the model but theano has better accuracy". This page '
        "repeats the experiment. It first follows the tutorial on its exact versions, and then does what the "
        "question needs."
    )
    printed = (
        "The tutorial's numbers come from a Core i5 of the 7th generation with Keras 2.3.1, Python 3.6.0, "
        "TensorFlow 1.14.0 and Theano 1.0.4. Its losses are 0.6998 with TensorFlow and 0.6747 with Theano. "
        "Its times come from another machine than ours, so they cannot be compared with our times."
    )
    parts = {
        "# The tutorial, revisited": [
            opening,
            "`python benchmarks/tutorial_revisited.py` writes this page. Apart from the tutorial's own "
            "numbers, every number comes from a run.",
        ],
        "## The tutorial's way: one run each": [
            _single_runs_table(single_runs).markdown(),
            printed,
            _turns(first, again),
        ],
        "## What was compilation": [_compilation(first, again)],
        "## What was noise": [_noise(keras2)],
        "## The answer on the tutorial's versions": [_truth(keras2)],
        "## The answer on Keras 3": [
            "Runs of different Keras versions do not compare backends, so nothing here contradicts the "
            "section above.",
            _truth(keras3),
        ],
        "## Measured on": [_machine(keras2, keras3)],
    }
    return "\n\n".join(line for heading, lines in parts.items() for line in (heading, *lines)) + "\n"


def _single_runs_table(single_runs: list[SingleRuns]) -> Table:
    titles = ["", "backend", "training_time_s", "first epoch s", "steady epoch s", "accuracy"]
    rows = PRINTED + [
        [
            one.title,
            backend,
            f"{_training(result):.2f}",
            f"{result.first_epoch_s:.2f}",
            f"{result.steady_epoch_s:.4f}",
            f"{result.accuracy:.2f}",
        ]
        for one in single_runs
        for backend, result in one.results.items()
    ]
    return Table(titles, rows)


def _turns(first: SingleRuns, again: SingleRuns) -> str:
    def conclusion(one: SingleRuns) -> str:
        return f"Our {one.title} says that {one.faster} is faster and {one.more_accurate} is more accurate."

    same = (first.faster, first.more_accurate) == (again.faster, again.more_accurate)
    return (
        f"{conclusion(first)} {conclusion(again)} "
        + (
            "The two answers are the same, but this proves little, because each rests on a single run."
            if same
            else "The same command gives two answers, because each rests on a single run."
        )
        + " The tutorial's answer rests on a single run too."
    )


def _compilation(first: SingleRuns, again: SingleRuns) -> str:
    return "\n".join(
        f"- **{backend}** {_kept(first.results[backend], again.results[backend])} In the second run, the "
        f"first epoch took {_beyond_an_epoch(again.results[backend]):.2f} s longer than a steady one."
        for backend in BACKENDS
    )


def _kept(cold: RunResult, warm: RunResult) -> str:
    """Say how much time the engine's compiled code on disk saves."""
    times = f"took {_training(cold):.2f} s in the first run and {_training(warm):.2f} s in the second."
    if cold.compile_cache is None:
        return f"{times} It keeps no compiled code on disk, so it compiles in every run."
    share = 1 - _training(warm) / _training(cold)
    return (
        f"{times} The first run found an empty compile cache: {share:.0%} of its time was compilation that "
        "the second run did not repeat."
    )


def _beyond_an_epoch(result: RunResult) -> float:
    return max(0.0, (result.first_epoch_s or 0.0) - (result.steady_epoch_s or 0.0))


def _noise(found: Comparison) -> str:
    groups = [found.group(label) for label in BACKENDS]
    by_block = [
        {run.block: run.values["accuracy"] for run in group.finished if "accuracy" in run.values}
        for group in groups
    ]
    shared = sorted(set(by_block[0]) & set(by_block[1]), key=lambda block: block or 0)
    signs = [by_block[1][block] - by_block[0][block] for block in shared]
    ahead, behind = sum(s > 0 for s in signs), sum(s < 0 for s in signs)
    return "\n\n".join(
        [
            f"The labels are random, and the accuracy is measured on {found.common['data.test_samples']} of "
            f"them. We ran {len(shared)} blocks, in each of which both backends had the same data. "
            f"{BACKENDS[1]} was more accurate in {ahead} blocks and {BACKENDS[0]} in {behind}. Equal "
            f"accuracies: {len(shared) - ahead - behind}.",
            "\n".join(f"- {group.chance.sentence}" for group in groups if group.chance),
            "\n".join(f"- The accuracy of {group.label} ranged from {_range(group)}." for group in groups),
        ]
    )


def _range(group: Group) -> str:
    values = [run.values["accuracy"] for run in group.finished]
    return f"{min(values):.2f} to {max(values):.2f} over {len(values)} seeds"


def _truth(found: Comparison) -> str:
    tables = [table.markdown() for table in text.tables(found)]
    sentences = [*found.headlines(), *found.parity.sentences, *found.notes]
    return "\n\n".join(["\n".join(f"- {sentence}" for sentence in sentences), *tables])


def _training(result: RunResult) -> float:
    assert result.training_time_s is not None
    return result.training_time_s


def _machine(keras2: Comparison, keras3: Comparison) -> str:
    lines = [f"- {machine.cpu_model()}, {usable_cores()} usable cores; {platform.platform()}"]
    for found in (keras2, keras3):
        engines = ", ".join(f"{group.label}: {group.engine}" for group in found.groups)
        lines.append(
            f"- {found.title}: Keras {found.versions.get('Keras')} on Python {found.versions.get('Python')}, "
            f"{found.common.get('threads')} threads; {engines}"
        )
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    commit = machine.git_commit(str(PAGE.parent))
    lines.append(f"- commit {commit or 'unknown'}, {time.strftime('%Y-%m-%d')}, load at the end {load}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
