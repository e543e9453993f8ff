"""Our check accepts the same command lines as a real Hydra application, for all of Hydra's grammar."""

import logging
import os
import pickle
import shlex
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.core.hydra_config import HydraConfig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backendexp.cli import application, preflight
from backendexp.config import schema
from backendexp.config.composition import version_base
from backendexp.config.schema import Config
from backendexp.errors import UserError
from backendexp.runs.session import Session
from support.checking import check_all, refusal

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:hydra.*", "ignore:\\n?\\tRunning Hydra app:UserWarning"
)


@pytest.fixture(autouse=True)
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    application.register_schema()
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    # Our sweeper uses the application of its process.
    monkeypatch.setattr(application, "_current", application.Application(Session()))


def of_hydra(words: list[str]) -> list[Config]:
    """Return the configurations that the jobs of a real Hydra application get. Raises the errors of Hydra."""
    given: list[Config] = []

    def job(tree: Any) -> None:
        given.append(schema.parse(tree))

    job.__module__ = "backendexp.cli.main"  # a relative --config-path starts from this folder
    before, sys.argv = sys.argv, ["backendexp", *words]
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        hydra.main(version_base=version_base(), config_path=str(schema.conf_dir()), config_name="config")(
            job
        )()
    finally:
        sys.argv = before
        for handler in set(root.handlers) - set(handlers):  # with --info, Hydra prints its log
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        HydraConfig.instance().cfg = None
    return given


def of_ours(words: list[str], monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Return the configurations that our check composes before anything starts. Raises UserError."""
    read: list[Config] = []
    with monkeypatch.context() as patch:
        patch.setattr(preflight, "check_job", lambda checked, multirun: read.append(checked))
        preflight.check(words, schema.conf_dir())
    return read


TAKEN = r"""
seed=3
++seed=3
~backend
~backend=tensorflow
backend=jax
backend=jax.yaml
backend=[jax]
backend.name=jax
'backend="jax"'
experiment=parity
data=signal training.loss=hinge
model={dropout:0.1}
'model={dropout: 0.1, hidden_units: [3]}'
++model={dropout:0.2}
+training={epochs:3}
model.hidden_units=[3,4]
'model.hidden_units=[ 3 , 4 ]'
model.hidden_units.0=3
compare.backends=[jax,theano]
'compare.backends=["jax",theano]'
seed=1_000
seed=+3
'seed= 3 '
timeout_s=1e3
timeout_s=null
controls.initial_weights=yes
controls.initial_weights=FALSE
training.epochs=int(3.7)
'training.learning_rate=float(1)'
'tracking.run_name=str(5)'
'tracking.run_name="a b"'
'tracking.run_name=a b'
'tracking.run_name=a\,b'
"tracking.run_name='it\\'s'"
'tracking.run_name="${backend.name} ${seed}"'
tracking.run_name=a:b/c-d+e.f$g%h*i@j?k|l
tracking.run_name=
tracking.uri=http://127.0.0.1:1/a
seed=${threads} threads=5
'seed=${oc.decode:"3"}'
'tracking.run_name=${oc.env:NOPE,there}'
'tracking.run_name=${oc.env:HOME}'
'tracking.run_name=${hydra:job.name}'
'tracking.run_name=${hydra:runtime.output_dir}' hydra.run.dir=out
'tracking.run_name=${hydra:runtime.choices.backend}' backend=jax
'tracking.run_name=${python_version:minor}'
+hydra.job.env_set.FOO=bar 'tracking.run_name=${oc.env:FOO}'
hydra.job.env_copy=[HOME]
'data.samples=${width}' +width=8
hydra.run.dir=out
hydra.output_subdir=null
hydra/job_logging=default hydra/hydra_logging=none
hydra.verbose=true
hydra.job.name=other
hydra.mode=RUN
hydra.mode=MULTIRUN seed=1,2
-m hydra.mode=RUN seed=1,2
--run seed=1
-m seed=1
-m seed=1,2 backend=jax,theano
-m backend=glob(*)
-m 'backend=glob(*,exclude=t*)'
-m 'backend=glob([j*,th*],exclude=[x*])'
-m experiment=glob(p*)
-m 'backend=choice(jax,theano)'
-m 'backend=choice([jax],theano)'
-m 'seed=range(3)'
-m 'seed=range(start=1,stop=6,step=2)'
-m 'seed=range(3,0,-1)'
-m 'seed=sort(3,1,2)'
-m 'seed=sort(3,1,2,reverse=true)'
-m 'seed=sort(range(3,0,-1))'
-m 'seed=tag(a,b,choice(1,2))'
-m 'seed=int(choice(1.0,2.0))'
-m 'tracking.run_name=str(choice(1,2))'
-m 'tracking.run_name="a,b","c d"'
-m "tracking.run_name=choice('range(3)',x)"
-m 'model.hidden_units=[8],[4,4]'
-m 'model={dropout:0.1},{dropout:0.2}'
-m ++seed=1,2
-m 'tracking.run_name=${hydra:job.num}' seed=1,2
-m 'seed=${hydra:job.num}' backend=jax,theano
-m 'tracking.run_name=${hydra:runtime.output_dir}' seed=1,2 hydra.sweep.dir=all
-m 'tracking.run_name=${hydra:job.override_dirname}' seed=1,2
-m 'tracking.run_name=${backend.name}-${seed}' seed=1,2 backend=jax,theano
-m 'tracking.run_name="${hydra:job.num}",plain,"${seed}"' seed=1,2
-m experiment=tutorial,scale,parity seed=1,2
--config-dir mine -m training=tutorial,numbered seed=1,2
-m hydra/sweeper=basic seed=1,2
-m hydra.sweeper.max_batch_size=1 seed=1,2
-m hydra.sweep.dir=all hydra.sweep.subdir=${hydra.job.num} seed=1,2
--config-dir mine training=long
--config-dir mine --config-name other
--config-name other.yaml --config-dir mine
--config-dir mine +place=here
--config-dir mine +place=glob(*) -m
hydra.searchpath=[file://mine] training=long
hydra.searchpath=[pkg://hydra.conf]
hydra.searchpath=[file://nowhere]
--config-path {folder}/whole
"""

REFUSED = r"""
backend=null
training=null
experiment=null
backend=3
backend=true
'backend=""'
backend=
backend=nope
backend=???
~backend=jax
~nope
~timeout_s
~seed=3
+seed=3
+training.epochs=3
++backend=jax
backend@other=jax
+training@model=tutorial
+backend=jax
+backend@extra=jax
+experiment=parity
'tracking.run_name=${hydra:overrides.task}'
'tracking.run_name=${hydra:job.override_dirname}'
-m +hydra.sweeper.params={seed:1}
--config-name other hydra.searchpath=[file://mine]
+training={epocs:3}
nope=3
BACKEND=jax
=jax
backend==jax
backend
+backend
training/tutorial=3
seed=
seed=???
seed=0x10
seed=3.0
seed=three
seed=[1
seed={a
'seed="'
seed=(3)
seed=nope(3)
seed=int(a)
'seed=int()'
'seed=range(1)'
seed=1,2
seed=choice(1,2)
backend=glob(*)
tracking.run_name=ä
tracking.run_name=a=b
'tracking.run_name=a(b)'
tracking.run_name=[a]
tracking.run_name={a:b}
'tracking.run_name=${nope}'
'tracking.run_name=${nope'
'tracking.run_name=${nope:3}'
'tracking.run_name=${oc.env:NOPE}'
'tracking.run_name=${hydra.job.name}'
'tracking.run_name=${hydra:nope}' 'seed=${hydra:nope}'
'seed=${hydra:job.num}'
'seed=${seed}'
model=3
model.hidden_units=3
model.hidden_units.9=3
model.hidden_units=[a]
model.nope=3
+model.nope.deep=3
hydra.mode=NOPE
hydra.nope=3
hydra.run.dir=${nope}
hydra.job.chdir=perhaps
hydra.job.env_copy=[NOPE]
hydra.searchpath=3
hydra.searchpath=[3]
hydra/sweeper=nope
hydra/launcher=null
-m seed=1,three
-m backend=jax,nope
-m 'seed=interval(1,2)'
-m hydra.job.name=a,b
-m hydra/launcher=basic,joblib
-m hydra.sweeper.max_batch_size=0 seed=1,2
-m 'tracking.run_name=${hydra:nope.nope}' 'seed=${hydra:job.nope}' 
-m hydra.sweep.dir=${nope} seed=1
-m hydra/sweeper=nope
-m hydra.launcher._target_=nowhere.Nobody
-m hydra.sweeper._target_=nowhere.Nobody
-m +hydra.launcher.nope=3
--config-dir nowhere
--config-dir mine/other.yaml
--config-dir mine training=broken
--config-dir mine training=list
--config-dir mine training=latin
--config-dir mine training=unknown
--config-dir mine training=loop
--config-dir mine training=twice
--config-dir mine training=wrong
--config-dir mine training=nolist
--config-dir mine --config-name bare
--config-dir mine --config-name broken
--config-name nope
--config-path nowhere
--config-path conf.yaml
--run -m seed=1
--run --cfg job
--resolve
--cfg
--cfg nope
--cfg job --package nope
--cfg job --resolve 'seed=${nope}'
--cfg job backend=null
--cfg all --config-dir nowhere
--info nope
--info config backend=null
--help backend=null
--hydra-help backend=null
--shell-completion
--shell-completion install=nope
--experimental-rerun nope.pickle
--experimental-rerun mine/other.yaml
--con nothing
--nope
-x
backend=jax --cfg job seed=1
"""

SHOWN = r"""
--cfg job
--cfg all --resolve
--cfg hydra
--cfg job --package model
--cfg job --package _global_ --resolve backend=jax
--cfg all -p hydra.job seed=3
--cfg job --resolve 'tracking.run_name=${hydra:job.name}'
-c job backend=jax
--info
--info defaults backend=jax
--info searchpath
--help
--help backend=jax
--help --resolve
--hydra-help
--shell-completion install=bash
"""


def forms(table: str) -> list[Any]:
    """Return the command lines of a table. CI checks every tenth, and the extended tests the others."""
    lines = [line for line in table.splitlines() if line]
    return [
        pytest.param(line, id=line, marks=[] if number % 10 == 0 else pytest.mark.extended)
        for number, line in enumerate(lines)
    ]


@pytest.fixture
def users_files(project: Path) -> Path:
    """Folders with configuration files of a user, some of which are invalid."""
    mine = project / "mine"
    for name, text in {
        "training/long.yaml": "defaults: [tutorial]\nepochs: 500\n",
        "training/numbered.yaml": "defaults: [tutorial]\nepochs: ${hydra:job.num}\n",
        "training/broken.yaml": "epochs: [500\n",
        "training/list.yaml": "- 1\n- 2\n",
        "training/unknown.yaml": "epocs: 3\n",
        "training/loop.yaml": "defaults: [loop]\n",
        "training/twice.yaml": "epochs: 3\nepochs: 4\n",
        "training/wrong.yaml": "epochs: many\n",
        "training/nolist.yaml": "defaults: tutorial\n",
        "place/here.yaml": "# @package _global_\nseed: 5\n",
        "place/there.yaml": "# @package _global_\nseed: 6\n",
        "other.yaml": "defaults: [config, _self_]\nseed: 8\n",
        "bare.yaml": "seed: 8\n",
        "broken.yaml": "a: b: c\n",
    }.items():
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_text(text)
    (mine / "training/latin.yaml").write_bytes("optimizer: adäm\n".encode("latin-1"))
    (project / "whole").symlink_to(schema.conf_dir())
    return mine


def words_of(form: str, folder: Path) -> list[str]:
    words = shlex.split(form.replace("{folder}", str(folder)))
    # A user may write -m anywhere. The command line moves it to the front, where Hydra expects it.
    return [w for w in words if w == "-m"] + [w for w in words if w != "-m"]


def against_hydra(words: list[str]) -> list[str]:
    """Use Hydra's own sweeper instead of ours, to compare the two."""
    swept = "-m" in words or "hydra.mode=MULTIRUN" in words
    named = any(word.startswith("hydra/sweeper") for word in words)
    return [*words, "hydra/sweeper=basic"] if swept and not named else words


@pytest.mark.slow
@pytest.mark.parametrize("form", forms(TAKEN))
def test_check_accepts_what_hydra_accepts_and_reads_the_same(
    form: str, users_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = words_of(form, users_files.parent)
    expected = of_hydra(against_hydra(words))
    assert expected
    assert of_ours(words, monkeypatch) == expected


@pytest.mark.slow
@pytest.mark.parametrize("form", forms(REFUSED))
def test_check_refuses_in_a_sentence_what_hydra_refuses(
    form: str, users_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words_of(form, users_files.parent)
    with pytest.raises((Exception, SystemExit)):
        of_hydra(words)
    capsys.readouterr()
    with pytest.raises(UserError) as refused:
        of_ours(words, monkeypatch)
    message = str(refused.value)
    assert message
    assert "\n" not in message
    assert "hydra.cc" not in message
    assert "Traceback" not in message
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("form", forms(SHOWN))
def test_options_that_show_something_are_left_to_hydra(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):  # Hydra ends in the same way after --help
        assert of_hydra(shlex.split(form)) == []
    capsys.readouterr()
    assert check_all(*shlex.split(form)).specs == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("backend=[theano,jax]", "-m backend=theano,jax or as -m 'backend=choice(theano,jax)'"),
        ("-m backend=[theano,jax]", "backend=[theano,jax] is a list, but a job has only one backend."),
        ("-m backend=[theano,jax],tensorflow", "as -m backend=theano,jax"),
        ("-m 'backend=choice([theano,jax],tensorflow)'", "as -m backend=theano,jax"),
        ("'backend=[\"theano\",jax]'", "as -m backend=theano,jax"),
        ("'backend=sort([theano,jax])'", "as -m backend=jax,theano"),
        ("data=[random,signal]", "as -m data=random,signal"),
        ("experiment=[parity,tutorial]", "as -m experiment=parity,tutorial"),
        ("+place=[here,there] --config-dir mine", "as -m +place=here,there"),
        ("backend=[]", "backend=[] chooses nothing"),
        ("experiment=paritty", "Did you mean 'parity'?"),
        ("experiment=[paritty]", "Did you mean 'parity'?"),
        ("-m 'seed=range(0)'", "seed=range(0) has no values, so the sweep has no jobs"),
        ("-m 'backend=glob(x*)'", "backend=glob(x*) has no values, so the sweep has no jobs"),
        ("+sed=3", "Did you mean 'seed'?"),
        ("+training.epocs=3", "Did you mean 'training.epochs'?"),
        ("++training.epocs=3 'training.epochs=${training.epocs}'", "Did you mean 'training.epochs'?"),
    ],
)
def test_mistakes_that_hydra_silently_accepts_are_refused(form: str, said: str, users_files: Path) -> None:
    assert said in refusal(*words_of(form, users_files.parent))


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (
            "backend=null",
            "backend=null chooses nothing, which Hydra does not accept. Leave it out, or",
        ),
        ("--config-dir nowhere", "--config-dir is 'nowhere': no such folder"),
        ("--config-dir mine training=broken", "mine/training/broken.yaml"),
        ("--config-dir mine training=latin", "is not text in UTF-8"),
        ("--config-dir mine --config-name bare", "the configuration has no schema"),
        ("hydra.job.env_copy=[NOPE]", "KeyError: 'NOPE'"),
        ("--run -m", "--run and --multirun cannot be combined"),
        ("backend=jax --cfg job seed=1", "'seed=1' is separated from the other settings"),
        ("--cfg nope", "argument --cfg/-c: invalid choice: 'nope'"),
    ],
)
def test_refusal_says_what_was_wrong(form: str, said: str, users_files: Path) -> None:
    assert said in refusal(*words_of(form, users_files.parent))


def test_job_that_hydra_has_pickled_can_be_run_again(project: Path) -> None:
    words = ["seed=7", "backend=jax", "hydra.run.dir=out"]
    callback = "+hydra.callbacks.keep._target_=hydra.experimental.callbacks.PickleJobInfoCallback"
    of_hydra([*words, callback])
    (pickled,) = Path("out").rglob("config.pickle")
    assert pickle.loads(pickled.read_bytes()).seed == 7
    (spec,) = check_all("--experimental-rerun", str(pickled)).specs
    assert (spec.seed, spec.backend) == (7, "jax")
    assert [c.seed for c in of_hydra(["--experimental-rerun", str(pickled)])] == [7]


def test_check_leaves_hydra_and_the_environment_as_they_were(project: Path) -> None:
    before = dict(os.environ)
    check_all("-m", "seed=1,2", "backend=jax", "+hydra.job.env_set.FOO=bar")
    refusal("+hydra.job.env_set.FOO=bar", "seed=-1")
    assert dict(os.environ) == before
    assert not HydraConfig.initialized()


KEYS = ["seed", "threads", "backend", "backend.name", "experiment", "training", "training.epochs", "model"]
KEYS += ["model.hidden_units", "tracking.run_name", "timeout_s", "compare.backends", "hydra.job.name", "nope"]
ATOMS = ["3", "-1", "1.5", "1e1", "true", "null", "jax", "theano", "tutorial", "parity", "'a b'", '"jax"', ""]
ATOMS += [
    "a b",
    "a\\,b",
    "${seed}",
    "${hydra:job.name}",
    "${nope}",
    "???",
    "ä",
    "[",
    "a=b",
    "a:b",
    "$x",
    "/a/b",
]
CALLS = ["choice({})", "range({})", "shuffle({})", "sort({})", "int({})", "str({})", "tag(t,{})", "glob({})"]
CALLS += ["interval({})", "float({})", "bool({})", "nope({})", "[{}]", "{{dropout:{}}}", "{}"]


@st.composite
def _overrides(draw: st.DrawFn) -> str:
    key = draw(st.sampled_from(["", "", "", "", "+", "++", "~"])) + draw(st.sampled_from(KEYS))
    key += draw(st.sampled_from(["", "", "", "", "@model"]))
    call = draw(st.sampled_from([*CALLS, *["{}"] * 10]))
    value = call.format(",".join(draw(st.lists(st.sampled_from(ATOMS), min_size=1, max_size=3))))
    return f"{key}={value}"


def _deliberate(message: str) -> bool:
    """Return whether the message refuses something that Hydra accepts and we do not, as listed above."""
    reasons = ("is a list, but a job has only one", "chooses nothing", "has no values", "is not known")
    return any(reason in message for reason in (*reasons, "is not a key"))


@pytest.mark.slow
@pytest.mark.extended
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_overrides(), min_size=1, max_size=2), st.booleans())
def test_check_agrees_with_hydra_on_any_overrides(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    m: bool,
) -> None:
    words = [*(["-m"] if m else []), *words]
    expected: list[Config] | None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = of_hydra(against_hydra(words))
        except (Exception, SystemExit):
            expected = None
        try:
            read = of_ours(words, monkeypatch)
        except UserError as refused:
            agreed = expected is None or _deliberate(str(refused))
        else:
            is_shuffled = any("shuffle" in word for word in words)
            agreed = expected is not None if is_shuffled else read == expected
    assert agreed
