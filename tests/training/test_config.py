import pytest

from training.__main__ import CONFIGS, main
from training.config import Config


@pytest.mark.parametrize(
    "path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem
)
def test_every_configuration_that_ships(path):
    config = Config.read(path)
    assert len(config.recipe) > 20


def test_configurations_match_their_names():
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


def test_configuration_is_written_and_read_again(tmp_path):
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
        ('recipe = "x"\nbatch = "3"', "batch must be of type int. Received: '3'"),
        ('recipe = "x"\nbatch = 0', "batch must be above 0. Received: 0"),
        (
            'recipe = "x"\nlearning_rate = nan',
            "learning_rate must be finite. Received: nan",
        ),
        ('recipe = "x"\nbatch = true', "batch must be of type int. Received: True"),
        (
            'recipe = "x"\noptimizer = "lamb"',
            "optimizer must be one of adam, sgd. Received: 'lamb'",
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


FIRST = 'recipe = "x"\ndepth = 18\n'
TAPS = '[taps]\nlow = "conv2_block1_out"\n'
SEARCH = "[search]\nlearning_rate = {low = 1e-4, high = 1e-2}\n"


@pytest.mark.parametrize(
    "text, message",
    [
        # In TOML, fields below the line of a table belong to that table.
        (
            SEARCH + "seed = 7",
            r"seed must be .*Received: 7 .*above the line \[search\]",
        ),
        (SEARCH + 'optimizer = "sgd"', r"optimizer must be .*Received: 'sgd'"),
        (
            SEARCH + "seeds = {choices = [1, 2]}",
            "there is no field seeds. Fields: arch",
        ),
        (TAPS + "epochs = 3", r"Received: epochs = 3. Write .*above the line \[taps\]"),
        (TAPS + 'start = "published"', "Received: start = 'published'. Write other"),
        (TAPS + "mid = 3", "Received: mid = 3"),
        # Items of lists and tables.
        (
            'subtract = [1, "2", 3]',
            "subtract must hold values of type float. Received: '2'",
        ),
        ("subtract = [1, 2, inf]", "subtract must be finite. Received: inf"),
        (
            "train_only = [true]",
            "train_only must hold values of type str. Received: True",
        ),
        (TAPS + 'high = "conv2_block1_out"', "low and high are the same layer"),
        (TAPS + 'high = "conv2_block9_out"', "high must be one of the blocks conv2_bl"),
        (
            "[optimizer]\nname = 'sgd'",
            "optimizer must be of type str. Received: {'name'",
        ),
        ("batchsize = 3", "Did you mean batch?"),
        ("depth = 19", "overwrite"),
        ("multiply = 0", "multiply must be above 0. Received: 0.0"),
        ("classifier_depth = 0", "classifier_depth must be above 0"),
        ("seed = 4294967296", "seed must be below 4294967296"),
        # Ranges, even if no search has been started.
        ("[search]\nbatch = {low = 8, high = 4}", "low is above high"),
        ("[search]\nbatch = {low = 0, high = 4}", "batch must be above 0. Received: 0"),
        ("[search]\nbatch = {low = 4, hihg = 8}", "high is missing"),
        ("[search]\nbatch = {low = 4, high = 8, base = 2}", "no base"),
        ("[search]\nbatch = {low = 4, high = 8, log = 1}", "log must be true or false"),
        ("[search]\nbatch = {choices = [4, 4]}", "a choice appears twice"),
        ("[search]\nbatch = {choices = 4}", "a list of one or more"),
        ("[search]\ngrey = {low = 0, high = 1}", "low and high must be numbers"),
        ("[search]\nsubtract = {choices = [[1, 2, 3]]}", "only numbers, strings"),
        (
            "[search]\ndepth = {choices = [18, 19]}",
            "depth must be one of .*Received: 19",
        ),
    ],
)
def test_everything_is_checked_when_the_file_is_read(tmp_path, text, message):
    path = tmp_path / "run.toml"
    path.write_text(FIRST + text)
    with pytest.raises(ValueError, match=message) as refused:
        Config.read(path)
    assert str(path) in str(refused.value)


def test_files_as_editors_and_programs_write_them(tmp_path):
    (tmp_path / "run.toml").write_bytes(b"\xef\xbb\xbf" + FIRST.encode())
    assert Config.read(tmp_path / "run.toml").depth == 18
    (tmp_path / "run.JSON").write_text('{"recipe": "x", "depth": 34}')
    assert Config.read(tmp_path / "run.JSON").depth == 34
    (tmp_path / "run.json").write_text('{"recipe": "x", "seed": 1, "seed": 2}')
    with pytest.raises(ValueError, match="run.json: seed appears twice"):
        Config.read(tmp_path / "run.json")
    (tmp_path / "run.json").write_text("[1]")
    with pytest.raises(
        ValueError, match=r"run.json: expected fields .*Received: \[1\]"
    ):
        Config.read(tmp_path / "run.json")


@pytest.mark.parametrize(
    "arguments",
    [
        ["records", "a", "b", "--image-size", "0"],
        ["search", "stratonet18", "--data", "a", "--output", "b", "--trials", "0"],
        ["search", "stratonet18", "--data", "a", "--output", "b", "--workers", "-1"],
        ["evaluate", "stratonet50", "--data", "a", "--per-class", "0"],
        ["export", "stratonet18", "--output", "a.onnx", "--input-size", "0"],
    ],
)
def test_counts_below_one_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert "expected a whole number, 1 or more" in capsys.readouterr().err
