from itertools import product

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from backendexp.cli import application
from backendexp.config import schema
from backendexp.config.composition import version_base
from backendexp.config.job_configs import JobConfigs


@pytest.fixture(autouse=True)
def hydra_is_ready():
    application.register_schema()
    with initialize_config_dir(str(schema.conf_dir()), version_base=version_base()):
        yield


CHOICES = [
    ["backend=jax", "backend=theano", "backend.name=torch"],
    ["seed=3", "seed=4", "threads=2", "threads=null"],
    ["model.dropout=0", "model.hidden_units=[8,4]", "experiment=parity", "data=signal"],
    ["training.learning_rate=1e-2", "timeout_s=5", "data.path=null", "~timeout_s", "tracking.run_name='a b'"],
]


# Only every 7th of all combinations, because composing is slow. Every pair of choices is still among them.
@pytest.mark.parametrize("job", list(product(*CHOICES))[::7], ids=" ".join)
def test_a_jobs_configuration_is_what_hydra_composes_or_is_refused_as_hydra_refuses_it(job):
    try:
        expected = compose("config", list(job))
    except (ConfigCompositionException, OmegaConfBaseException) as error:
        with pytest.raises(type(error)):
            JobConfigs(lambda o: compose("config", o)).of(list(job))
        return
    got = JobConfigs(lambda o: compose("config", o)).of(list(job))
    assert OmegaConf.to_yaml(got) == OmegaConf.to_yaml(expected)


def test_jobs_that_differ_in_plain_values_are_composed_once():
    composed = []

    def counted(overrides):
        composed.append(overrides)
        return compose("config", overrides)

    configs = JobConfigs(counted)
    seeds = [configs.of(["backend=jax", f"seed={seed}"]).seed for seed in range(20)]

    assert seeds == list(range(20))
    assert len(composed) <= 2


def test_a_change_of_one_jobs_configuration_does_not_reach_the_next():
    configs = JobConfigs(lambda o: compose("config", o))
    configs.of(["seed=1"]).training.epochs = 99

    assert configs.of(["seed=2"]).training.epochs == 20
    assert configs.of(["seed=2"]).seed == 2
