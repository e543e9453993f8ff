"""Every built-in model learns real data on every backend, so a comparison compares networks that work."""

from pathlib import Path

import pytest

from backendexp.runs.record import load
from support.projects import Project
from support.servers import places

pytestmark = pytest.mark.slow

# The accuracy on the test samples that every backend reaches with this training. Guessing reaches 0.1 on
# digits and 0.63 on breast_cancer.
FLOORS = {
    ("cnn", "digits"): 0.90,
    ("lstm", "digits"): 0.85,
    ("gru", "digits"): 0.85,
    ("bilstm", "digits"): 0.85,
    ("transformer", "digits"): 0.80,
    ("mlp", "breast_cancer"): 0.90,
}
TRAINING = (
    "inference=false",
    "training.optimizer=adam",
    "training.learning_rate=0.003",
    "training.epochs=12",
    "threads=1",
)


def learned(lab: Project, backend: str, runtime: str) -> dict[tuple[str, str], float]:
    """Train each model on its data, and return the accuracies."""
    kinds = [pair for pair in FLOORS if runtime == "keras3" or pair[0] != "transformer"]
    digits = ",".join(model for model, data in kinds if data == "digits")
    for models, data in ((digits, "digits"), ("mlp", "breast_cancer")):
        answer = lab.run(
            *("-m", f"backend={backend}", f"runtime={runtime}", f"model={models}", f"data={data}"),
            *(*TRAINING, "tracking=none"),
            timeout=900,
        )
        assert answer.returncode == 0, answer.stderr
    found = {}
    for directory in lab.directories():
        record = load(Path(directory))
        assert record.result is not None
        found[record.spec.model.kind, record.spec.data.kind] = record.result.qualities["accuracy"]
    assert set(found) == set(kinds)
    return found


# CI trains on one backend. The others are in the extended tests.
PLACES = [
    pytest.param(place, marks=[] if place == ("keras3", "theano") else pytest.mark.extended)
    for place in places()
]


@pytest.mark.parametrize("place", PLACES, ids="-".join)
@pytest.mark.timeout(1800)
def test_every_model_learns_real_data(lab: Project, place: tuple[str, str]) -> None:
    runtime, backend = place
    accuracies = learned(lab, backend, runtime)
    print(backend, runtime, accuracies)
    too_low = {pair: value for pair, value in accuracies.items() if value < FLOORS[pair]}
    assert not too_low
