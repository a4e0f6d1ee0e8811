import pytest

pytest.importorskip(
    "keras", reason="training needs Keras, which CellProfiler's own environment has not"
)

from training.__main__ import CONFIGS  # noqa: E402
from training.config import Config  # noqa: E402


@pytest.mark.parametrize(
    "path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem
)
def test_every_configuration_that_ships(path):
    config = Config.read(path)
    assert len(config.recipe) > 20


def test_they_are_what_their_names_say():
    for depth in (18, 34, 50, 101, 152):
        config = Config.read(CONFIGS / f"stratonet{depth}.toml")
        assert (config.depth, config.attention, config.classifier_on) == (
            depth,
            "eca",
            "taps",
        )
        assert (config.optimizer, config.batch, config.epochs, config.image_size) == (
            "adam",
            128,
            100,
            224,
        )
    resnet, ecanet = (
        Config.read(CONFIGS / f"{name}.toml") for name in ("resnet50", "ecanet50")
    )
    assert (resnet.attention, ecanet.attention) == ("none", "eca")
    assert (
        (resnet.depth, resnet.classifier_on)
        == (ecanet.depth, ecanet.classifier_on)
        == (50, "end")
    )


def test_kept_and_read_again(tmp_path):
    config = Config(
        "mine",
        taps={"low": "conv2_block1_out"},
        subtract=(1, 2, 3),
        train_only=["*_eca"],
        learning_rate=1,
    )
    (tmp_path / "config.json").write_text(config.to_json())
    assert Config.read(tmp_path / "config.json") == config


@pytest.mark.parametrize(
    "text, message",
    [
        ("batch = 3", "the field recipe is missing"),
        ('recipe = "x"\nbatchsize = 3', "there is no field batchsize. Fields: .*batch"),
        ('recipe = "x"\nbatch = "3"', "batch is of type int. Received: '3'"),
        ('recipe = "x"\nbatch = 0', "batch must be above 0. Received: 0"),
        (
            'recipe = "x"\nlearning_rate = nan',
            "learning_rate must be finite. Received: nan",
        ),
        ('recipe = "x"\nbatch = true', "batch is of type int. Received: True"),
        (
            'recipe = "x"\noptimizer = "lamb"',
            "optimizer is one of adam, sgd. Received: 'lamb'",
        ),
        ('recipe = "x"\nmomentum = 1.0', "momentum must be at least 0 and below 1"),
        ('recipe = "x"\nsubtract = [1.0]', "one number for each of the three planes"),
        (
            'recipe = "x"\nstep_factor = 0.0',
            "step_factor must be above 0 and at most 1",
        ),
        ("recipe = ", "value"),
    ],
)
def test_refused(tmp_path, text, message):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as refused:
        Config.read(path)
    assert str(path) in str(refused.value)
