import math
from types import ModuleType

import pytest
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from backendexp import experiments
from backendexp.config import composition
from backendexp.config.checks import check_names
from backendexp.config.schema import (
    Config,
    check,
    conf_dir,
    parse,
    physical_memory_bytes,
    schema_node,
    tree_of,
)
from backendexp.errors import ConfigError
from backendexp.runtimes import catalogue
from backendexp.worker import data, models
from backendexp.worker.data import addition, digits, npz, signal
from support.checking import check_config
from support.plans import default_config, small_config


def with_value(path: str, value: object) -> Config:
    config = small_config()
    if path == "data.noise":
        config.data = signal.Settings()
    *parents, last = path.split(".")
    node: object = config
    for parent in parents:
        node = config.experiments.get(parent) or getattr(node, parent)
    setattr(node, last, value)
    return config


def test_defaults_with_sizes_are_valid_and_parse_returns_them() -> None:
    config = small_config()
    parsed = parse(tree_of(config))
    assert parsed == config
    assert isinstance(parsed, Config)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("backend.name", "thaeno", "Did you mean 'theano'?"),
        ("backend.name", "Tensorflow", "Did you mean 'tensorflow'?"),
        ("backend.name", "", "e.g. backend=theano"),
        ("runtime.name", "keras4", "Did you mean 'keras"),
        ("runtime.start", "froks", "Did you mean 'fork'?"),
        ("data.kind", "singal", "Did you mean 'signal'?"),
        ("tracking.kind", "mflow", "Did you mean 'mlflow'?"),
        ("training.optimizer", "rsmprop", "Did you mean 'rmsprop'?"),
        ("training.loss", "binary_crosentropy", "Did you mean 'binary_crossentropy'?"),
        ("training.dtype", "float23", "Did you mean 'float32'?"),
        ("model.activation", "rleu", "Did you mean 'relu'?"),
        ("model.output_activation", "sigmod", "Did you mean 'sigmoid'?"),
        ("compare.baseline", "tensorflwo", "Did you mean 'tensorflow'?"),
        ("scale.baseline", "torhc", "Did you mean 'torch'?"),
    ],
)
def test_unknown_name_is_refused_with_the_nearest_one_and_an_example(key: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        check(with_value(key, value))
    message = str(refusal.value)
    assert message.startswith(f"{key} is {value!r}, which is not known.")
    assert said in message
    assert "Expected one of: " in message
    assert ", e.g. " in message


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("training.epochs", 0, "from 1 to 1,000,000, e.g. training.epochs=20"),
        ("training.epochs", -3, "from 1 to 1,000,000"),
        ("training.epochs", 10**7, "from 1 to 1,000,000"),
        ("training.batch_size", 0, "from 1 to 1,000,000,000, e.g. training.batch_size=128"),
        ("training.learning_rate", 0.0, "above 0 to"),
        ("training.learning_rate", -0.1, "above 0 to"),
        ("training.learning_rate", math.nan, "above 0 to"),
        ("training.learning_rate", math.inf, "e.g. training.learning_rate=0.001"),
        ("training.learning_rate", 1e9, "above 0 to"),
        ("model.dropout", 1.0, "from 0 to below 1, e.g. model.dropout=0.5"),
        ("model.dropout", 1.5, "from 0 to below 1"),
        ("model.dropout", -0.1, "from 0 to below 1"),
        ("model.dropout", math.nan, "from 0 to below 1"),
        ("data.samples", 0, "from 1 to 1,000,000,000, e.g. data.samples=100"),
        ("data.samples", None, "from 1 to"),
        ("data.samples", -5, "from 1 to"),
        ("data.test_samples", 0, "e.g. data.test_samples=100"),
        ("data.features", 0, "e.g. data.features=100"),
        ("data.features", 10**10, "from 1 to 1,000,000,000"),
        ("data.noise", 0.5, "from 0 to below 0.5, e.g. data.noise=0.1"),
        ("data.noise", -0.01, "from 0 to below 0.5"),
        ("data.noise", math.inf, "from 0 to below 0.5"),
        ("parity.probes", 0, "from 1 to 20, e.g. parity.probes=6"),
        ("parity.probes", 21, "from 1 to 20"),
        ("compare.blocks", 2, "from 3 to 10,000, e.g. compare.blocks=10"),
        ("compare.blocks", 10_001, "from 3 to 10,000"),
        ("compare.margin", 0.0, "above 0 to 1, e.g. compare.margin=0.05"),
        ("compare.margin", 1.5, "above 0 to 1"),
        ("compare.margin", math.nan, "above 0 to 1"),
        ("compare.accuracy_margin", 0.0, "above 0 to 1, e.g. compare.accuracy_margin=0.05"),
        ("scale.repeats", 0, "from 1 to 1,000, e.g. scale.repeats=3"),
        ("scale.epochs", 0, "from 1 to 1,000,000, e.g. scale.epochs=3"),
        ("seed", -1, "from 0 to 4,294,967,295, e.g. seed=7"),
        ("seed", 2**32, "from 0 to 4,294,967,295"),
        ("threads", 0, "from 1 to 4,096, e.g. threads=1"),
        ("threads", -2, "from 1 to 4,096"),
        ("timeout_s", 0.0, "above 0 to"),
        ("timeout_s", -1.0, "e.g. timeout_s=600"),
        ("timeout_s", math.nan, "above 0 to"),
    ],
)
def test_number_out_of_range_is_refused_with_the_range_and_an_example(
    key: str, value: float | None, expected: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        check(with_value(key, value))
    assert str(refusal.value).startswith(f"{key} is {'not set' if value is None else value}: expected a ")
    assert expected in str(refusal.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.dropout", 0.0),
        ("model.dropout", 0.999),
        ("data.noise", 0.0),
        ("data.noise", 0.499),
        ("seed", 0),
        ("seed", 2**32 - 1),
        ("threads", 1),
        ("timeout_s", 0.001),
        ("training.epochs", 1),
        ("training.epochs", 10**6),
        ("training.batch_size", 1),
        ("training.learning_rate", 1e-12),
    ],
)
def test_ends_of_a_range_that_belong_to_it_are_accepted(key: str, value: float) -> None:
    check(with_value(key, value))


def test_empty_hidden_units_are_refused_with_an_example() -> None:
    with pytest.raises(ConfigError, match=r"model\.hidden_units is empty.*model\.hidden_units=\[64,64\]"):
        check(with_value("model.hidden_units", []))


def test_too_many_layers_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.hidden_units has 1001 layers: expected at most 1000"):
        check(with_value("model.hidden_units", [1] * 1001))


@pytest.mark.parametrize("width", [0, -1, 10**7])
def test_layer_of_an_impossible_width_is_refused(width: int) -> None:
    with pytest.raises(ConfigError, match=rf"model\.hidden_units is {width}: expected a number from 1"):
        check(with_value("model.hidden_units", [64, width]))


@pytest.mark.skipif(physical_memory_bytes() is None, reason="this system does not tell its memory")
def test_data_too_large_for_memory_are_refused_in_a_sentence() -> None:
    config = with_value("data.samples", 10**9)
    config.data.features = 10**9
    with pytest.raises(ConfigError, match=r"the data would take 3,725,\d+,\d+ GiB, and this machine has"):
        check(config)


@pytest.mark.skipif(physical_memory_bytes() is None, reason="this system does not tell its memory")
def test_weights_too_large_for_memory_are_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"the weights would take .* GiB.* Lower model\.hidden_units"):
        check(with_value("model.hidden_units", [10**6, 10**6]))


def tree_with(part: str, **values: object) -> DictConfig:
    """A tree as Hydra composes it, whose `part` has these values."""
    experiments.add_settings()
    tree = schema_node()
    tree[part] = values
    return tree


def test_path_without_npz_is_refused() -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(tree_with("data", kind="random", path="x.npz"))
    assert str(refusal.value) == (
        "data.path is set, but data=random does not have it. It is a setting of data=npz"
    )


def test_misspelt_setting_of_a_kind_is_refused_with_the_nearest_one_and_all_others() -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(tree_with("model", kind="mlp", hiden_units=[3]))
    assert str(refusal.value) == (
        "model.hiden_units is not a setting of model=mlp. Did you mean 'model.hidden_units'? It has: "
        "model.hidden_units, model.activation, model.dropout, model.output_activation"
    )


@pytest.mark.parametrize("part", ["compare", "training"])
def test_added_setting_of_a_part_is_refused(part: str) -> None:
    tree = tree_of(small_config())
    OmegaConf.update(tree, f"{part}.epoch", 1, force_add=True)
    with pytest.raises(ConfigError, match=rf"{part}\.epoch is not a key of the configuration\. Did you mean"):
        parse(tree)


def test_jobs_with_equal_settings_do_not_share_them() -> None:
    first, second = (parse(tree_with("model", kind="mlp", hidden_units=[8])) for _ in range(2))
    first.model.hidden_units.append(9)
    assert second.model.hidden_units == [8]


def test_setting_of_a_kind_has_the_type_that_its_class_says() -> None:
    assert parse(tree_with("model", kind="mlp", dropout="0.25")).model.dropout == 0.25
    with pytest.raises(OmegaConfBaseException) as refusal:
        parse(tree_with("model", kind="mlp", dropout="abc"))
    assert composition.sentence(refusal.value) == (
        "model.dropout: Value 'abc' of type 'str' could not be converted to Float"
    )


def test_npz_without_a_path_is_refused_with_an_example() -> None:
    config = small_config()
    config.data = npz.Settings()
    with pytest.raises(ConfigError, match=r"data\.path is not set.*data\.path=my-data\.npz"):
        check(config)


@pytest.mark.parametrize("size", ["samples", "features", "test_samples"])
def test_npz_takes_its_sizes_from_the_file(size: str) -> None:
    config = default_config()
    config.data = npz.Settings(path="x.npz", **{size: 10})
    with pytest.raises(ConfigError, match=rf"data\.{size} is set, but data=npz takes its sizes from the"):
        check(config)


@pytest.mark.parametrize("part", ["compare", "scale"])
@pytest.mark.parametrize("names", [["jax"], [], ["jax", "jax"], ["jax", "theano", "jax"]])
def test_backends_that_are_not_two_different_ones_are_refused(part: str, names: list[str]) -> None:
    with pytest.raises(ConfigError) as refusal:
        check(with_value(f"{part}.backends", names))
    assert str(refusal.value) == (
        f"{part}.backends is [{', '.join(names)}]: expected two or more different ones, "
        f"e.g. {part}.backends=[tensorflow,theano], or null for all that can run here"
    )


@pytest.mark.parametrize("part", ["compare", "scale"])
def test_unknown_backend_of_a_list_is_refused_with_the_nearest(part: str) -> None:
    with pytest.raises(ConfigError, match=rf"{part}\.backends is 'thaeno'.*Did you mean 'theano'\?"):
        check(with_value(f"{part}.backends", ["jax", "thaeno"]))


def test_baseline_that_is_not_compared_is_refused() -> None:
    config = with_value("compare.backends", ["jax", "theano"])
    config.experiments["compare"].baseline = "tensorflow"
    with pytest.raises(ConfigError, match=r"compare\.baseline is 'tensorflow'.*Expected one of: jax, theano"):
        check(config)
    config.experiments["compare"].baseline = "jax"
    check(config)


def test_one_experiment_at_a_time() -> None:
    config = with_value("compare.enabled", True)
    assert config.experiment == "compare"
    config.experiments["parity"].enabled = True
    with pytest.raises(ConfigError, match=r"compare\.enabled and parity\.enabled are both true: expected"):
        check(config)
    assert small_config().experiment is None


@pytest.mark.parametrize(("part", "count"), [("compare", "blocks"), ("scale", "repeats")])
def test_experiment_whose_seeds_would_not_suffice_is_refused(part: str, count: str) -> None:
    config = with_value(f"{part}.enabled", True)
    setattr(config.experiments[part], count, 5)
    config.seed = 2**32 - 6
    check(config)
    config.seed += 1
    with pytest.raises(ConfigError, match=rf"experiment={part} counts up from it 5 times: expected the last"):
        check(config)


@pytest.mark.parametrize(
    ("samples", "widths"), [([100], [64]), ([], []), ([], [64]), ([100, 100], [])], ids=str
)
def test_scale_of_a_single_size_is_refused(samples: list[int], widths: list[int]) -> None:
    config = with_value("scale.enabled", True)
    config.experiments["scale"].samples, config.experiments["scale"].hidden_units = samples, widths
    with pytest.raises(ConfigError, match=r"expected two or more sizes of one of them, e\.g\. scale"):
        check(config)


@pytest.mark.parametrize("key", ["scale.samples", "scale.hidden_units"])
def test_impossible_size_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"{key} is 0: expected a number from 1 to "):
        check(with_value(key, [10, 0]))


def test_samples_of_a_file_cannot_be_varied() -> None:
    config = default_config()
    config.data, config.experiments["scale"].enabled = npz.Settings(path="x.npz"), True
    with pytest.raises(ConfigError, match=r"Use scale\.samples=\[\] to vary only the width"):
        check(config)
    config.experiments["scale"].samples = []
    check(config)


@pytest.mark.skipif(physical_memory_bytes() is None, reason="this system does not tell its memory")
@pytest.mark.parametrize(
    ("key", "sizes", "said"),
    [
        ("scale.samples", [10, 10**9], r"the data would take .* Lower scale\.samples, data\.test_samples or"),
        ("scale.hidden_units", [10, 10**6], r"the weights would take .* Lower scale\.hidden_units"),
    ],
)
def test_greatest_size_of_scale_must_fit_into_memory(key: str, sizes: list[int], said: str) -> None:
    config = with_value(key, sizes)
    config.data.features = 1000
    check(config)
    config.experiments["scale"].enabled = True
    with pytest.raises(ConfigError, match=said):
        check(config)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.optimizer", "adamw"),
        ("training.loss", "huber"),
        ("training.dtype", "bfloat16"),
        ("model.activation", "gelu"),
        ("model.output_activation", "silu"),
    ],
)
def test_name_that_only_keras_3_knows_is_refused_for_keras_2(key: str, value: str) -> None:
    config = with_value(key, value)
    check(config)
    check_names(config, catalogue.KERAS3)
    with pytest.raises(ConfigError) as refusal:
        check_names(config, catalogue.KERAS2)
    message = str(refusal.value)
    assert message.startswith(f"{key} is {value!r}, which runtime 'keras2' (Keras 2) does not have.")
    assert "Expected one of: " in message


def test_sizes_that_fill_the_memory_are_named_for_each_kind_of_data() -> None:
    config = default_config()
    config.data = addition.Settings(samples=10**9, steps=10**6)
    with pytest.raises(ConfigError, match=r"Lower data\.samples, data\.test_samples or data\.steps$"):
        check(config)
    config.data = digits.Settings()
    config.model.hidden_units = [10**6, 10**6]
    with pytest.raises(ConfigError, match=r"the weights would take .* Lower model\.hidden_units"):
        check(config)


def test_more_samples_than_a_file_has_are_refused() -> None:
    config = default_config()
    config.data = digits.Settings(samples=1500, test_samples=500)
    with pytest.raises(ConfigError, match=r"together 2000, but data=digits has 1797 samples\. Lower one of"):
        check(config)


@pytest.mark.parametrize(("part", "kinds"), [("data", data), ("model", models)])
def test_file_of_a_kind_sets_the_settings_of_the_kind_and_no_others(part: str, kinds: ModuleType) -> None:
    files = {path.stem for path in (conf_dir() / part).glob("*.yaml")}
    assert files == set(kinds.kinds())
    asked = {"custom": [f"{part}._target_=mine.make"], "npz": ["data.path=mine.npz"]}
    for name in files:
        settings = getattr(check_config(f"{part}={name}", *asked.get(name, [])), part)
        assert type(settings) is kinds.kind(name).Settings
