import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pycytominer
import pytest

import stratonet_cli
from stratonet import __version__
from stratonet.parallel import count_cores
from stratonet.weights_file import read_feature_set_id
from stratonet_sklearn.datasets import simulate_plate

ROOT = Path(__file__).parents[1]


def stratonet(*arguments):
    command = [sys.executable, "-m", "stratonet_cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_version_and_help():
    lines = stratonet("--version").stdout.splitlines()
    assert lines[0] == f"stratonet {__version__}"
    assert lines[1] == f"feature set {read_feature_set_id()}"
    assert f"numpy {np.__version__}" in lines
    assert {"plugins-directory", "demo", "extract"} <= set(
        stratonet("--help").stdout.split()
    )


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize(
    ("arguments", "unbuffered"),
    [
        (["--version"], "1"),
        (["extract", "--help"], ""),
        (["plugins-directory"], ""),
        (["plugins-directory"], "1"),
    ],
)
def test_a_command_ends_quietly_when_nobody_reads_on(
    arguments, unbuffered, monkeypatch
):
    # Without a buffer it is printing that fails, not what is done at the end.
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with end_of_closed_pipe() as pipe:
        done = run_into(pipe, subprocess.PIPE, *arguments)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_error_that_nobody_reads(tmp_path, monkeypatch):
    arguments = ["gather", str(tmp_path / "gone")]
    with end_of_closed_pipe() as pipe:
        assert run_into(pipe, pipe, *arguments).returncode == 141
        # Nothing was printed to what is not read: the error is told.
        done = run_into(pipe, subprocess.PIPE, *arguments)
    assert done.returncode == 1 and "gone" in done.stderr
    if os.path.exists("/dev/full"):
        monkeypatch.setenv("PYTHONUNBUFFERED", "")
        with open("/dev/full", "w") as full:
            done = run_into(full, subprocess.PIPE, "extract", "--help")
        assert done.returncode == 1
        assert done.stderr == "stratonet: cannot print: No space left on device.\n"


@contextmanager
def end_of_closed_pipe():
    """As ``| head`` leaves it when it has read enough."""
    read, write = os.pipe()
    os.close(read)
    try:
        yield write
    finally:
        os.close(write)


def run_into(stdout, stderr, *arguments):
    command = [sys.executable, "-m", "stratonet_cli", *arguments]
    return subprocess.run(command, stdout=stdout, stderr=stderr, text=True)


def list_commands():
    actions = stratonet_cli.build_parser()._actions
    (commands,) = (action for action in actions if action.dest == "==SUPPRESS==")
    return commands.choices


def test_every_help_has_an_example_that_is_understood():
    parse = stratonet_cli.build_parser().parse_args
    for name, command in list_commands().items():
        text = command.epilog.partition("Example: ")[2].partition(". ")[0]
        words = shlex.split(text)
        assert name in words or f"$(stratonet {name})" in words
        if words[0] == "stratonet":
            parse(words[1:])


def test_an_error_is_one_line_and_with_debug_the_place_too(tmp_path):
    arguments = ["gather", tmp_path / "gone"]
    assert len(stratonet(*arguments).stderr.splitlines()) == 1
    lines = stratonet(*arguments, "--debug").stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == stratonet(*arguments).stderr.strip()


def test_threads_are_what_is_computed_with(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    stratonet_cli._parse_arguments(["gather", "folder", "--threads", "3"])
    assert count_cores() == 3
    assert stratonet("gather", "folder", "--threads", "0").returncode == 2


def test_a_shell_completes_commands_and_flags():
    shtab = pytest.importorskip("shtab")
    script = shtab.complete(stratonet_cli.build_parser(), "bash")
    assert "run-cellprofiler" in script
    assert "--replace-path" in script


def test_plugins_directory_holds_the_module():
    folder = Path(stratonet("plugins-directory").stdout.strip())
    assert (folder / "measurestratofeatures.py").is_file()


@pytest.mark.parametrize(
    ("typed", "meant"), [("extrct", "extract"), ("Evaluate", "evaluate")]
)
def test_a_misspelt_command_is_told(typed, meant):
    done = stratonet(typed, "plate.csv")
    assert done.returncode == 2
    assert done.stderr.endswith(f"Did you mean {meant}?\n")
    assert "Did you mean" not in stratonet("make-coffee").stderr


@pytest.mark.slow
def test_a_misspelt_column_is_told(tmp_path):
    table = tmp_path / "profiles.csv"
    table.write_text("Metadata_Well,Metadata_Mechanism,Area\nA01,x,1\nA02,y,2.5\n")
    done = stratonet("evaluate", table, "--output", tmp_path, "--label", "mechanims")
    assert done.returncode == 1
    assert "There is no column mechanims" in done.stderr
    assert "Did you mean mechanism?" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("flag", [["--folds", "1"], ["--pattern", "jump"]])
def test_what_is_refused_before_anything_is_read(flag, tmp_path):
    done = stratonet("evaluate", tmp_path / "gone.csv", "--output", tmp_path, *flag)
    assert done.returncode == 2
    assert "gone.csv" not in done.stderr.splitlines()[-1]


# The program as it is installed; the line says that Python itself has started.
PROGRAM = """
import sys
sys.argv[0] = "stratonet"
print(flush=True)
from stratonet_cli import main
sys.exit(main())
"""


def interrupt(arguments, seconds, folder):
    """Start a command, press Ctrl-C after some seconds: its status and its words."""

    def heed_ctrl_c():
        # Tests may run in the background, where it is ignored.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    started = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_ctrl_c,
    )
    started.stdout.readline()
    time.sleep(seconds)
    # As a terminal does: to all processes of the command.
    os.killpg(started.pid, signal.SIGINT)
    _, said = started.communicate(timeout=60)
    return started.returncode, said


@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("command", ["extract", "evaluate", "project"])
def test_ctrl_c_at_the_start_is_no_traceback(command, seconds, tmp_path):
    given = [command, "gone.csv", "--output", "out"]
    status, said = interrupt(given, seconds, tmp_path)
    assert (status, said) == (130, "stratonet: interrupted before it began.\n")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "note"),
    [
        (
            "evaluate",
            "No report was written; the same command starts from the beginning.",
        ),
        ("extract", "Wells that were measured before are kept; the same command"),
        ("run-cellprofiler", "Finished parts are kept"),
        ("card", "No card was written."),
        ("project", "No projection was written."),
        ("demo", "The demo was not finished."),
    ],
)
def test_ctrl_c_says_what_is_true_of_the_command(command, note, monkeypatch, capsys):
    def press(options):
        raise KeyboardInterrupt

    given = {
        "card": ["net.onnx"],
        "demo": [],
        "run-cellprofiler": ["-p", "a.cppipe", "-o", "out"],
    }
    arguments = given.get(command, ["table.csv", "--output", "out"])
    parse = stratonet_cli._parse_arguments

    def parse_and_press(arguments):
        options = parse(arguments)
        options.run = press
        return options

    monkeypatch.setattr(stratonet_cli, "_parse_arguments", parse_and_press)
    usual = signal.getsignal(signal.SIGINT)
    assert stratonet_cli.main([command, *arguments]) == 130
    assert f"stratonet: interrupted. {note}" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is usual


def test_commands_import_nothing_before_they_are_called():
    code = (
        "import sys, stratonet_cli; print({'tensorflow', 'sklearn', 'pandas',"
        " 'onnxruntime'} & set(sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True
        ).stdout.strip()
        == "set()"
    )


@pytest.mark.slow
def test_a_plate_that_cannot_be_is_refused_in_one_line(tmp_path):
    done = stratonet("demo", "--plate", tmp_path, "--output", tmp_path / "out")
    assert (
        done.returncode == 1
        and done.stderr.startswith("stratonet: ")
        and "labels.csv is missing" in done.stderr
    )
    assert len(done.stderr.splitlines()) == 1


def test_without_cellprofiler_the_demo_says_so_before_it_draws(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    lacking = ("cellprofiler", "sklearn")
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, package=None: None if name in lacking else find(name, package),
    )
    output = tmp_path / "out"
    with pytest.raises(ImportError, match="needs cellprofiler, sklearn in this Python"):
        stratonet_cli._demo(Namespace(plate=None, output=output))
    assert not output.exists()


def link_controls(source, folder):
    """A quarter of a plate's controls, rows A and B, and a treated well of each."""
    labels = pd.read_csv(source / "labels.csv")
    rows = labels.well.str[0]
    labels = labels[rows.isin(["A", "B"])]
    treated = labels[labels.role == "trt"].groupby(rows).head(1)
    kept = labels[labels.role != "trt"].index.union(treated.index)
    folder.mkdir()
    labels.loc[kept].to_csv(folder / "labels.csv", index=False)
    for name in labels.loc[kept].filter(like="file_").to_numpy().flat:
        (folder / name).symlink_to(source / name)
    return folder


@pytest.mark.slow
def test_demo_of_a_simulated_plate(tmp_path, monkeypatch, capsys):
    # An eighth of it: the same steps, and each class in each row.
    small = partial(simulate_plate, rows=2, columns=3, sites=1)
    monkeypatch.setattr("stratonet_demo.simulate_plate", small)
    assert stratonet_cli.main(["demo", "--output", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "a simulated plate (seed 0), 6 wells" in said
    assert "balanced accuracy 1.00" in said
    assert (tmp_path / "plate.png").stat().st_size > 20_000


@pytest.mark.slow
def test_demo_gives_the_same_features_from_cellprofiler_and_scikit_learn(
    tmp_path, tmp_path_factory, data
):
    plate = link_controls(data / "bbbc013", tmp_path_factory.mktemp("real") / "bbbc013")
    done = stratonet("demo", "--plate", plate, "--output", tmp_path)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert "real images from" in done.stdout
    assert "balanced accuracy 1.00" in done.stdout
    assert (tmp_path / "plate.png").stat().st_size > 20_000
    profiles = pd.read_parquet(tmp_path / "StratoFeatures_Image.parquet")
    features = [name for name in profiles if name.startswith("StratoFeatures_")]
    metadata = [name for name in profiles if name.startswith("Metadata_")]
    normalized = pycytominer.normalize(
        profiles, features=features, meta_features=metadata
    )
    assert (
        len(normalized) == len(profiles)
        and abs(normalized[features].mean().mean()) < 1e-3
    )

    images = pd.read_csv(tmp_path / "load_data.csv", dtype=str).assign(
        Metadata_Plate="P"
    )
    images.to_csv(tmp_path / "plate.csv", index=False)
    done = stratonet(
        "extract", tmp_path / "plate.csv", "--output", tmp_path / "features", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    extracted = pd.read_parquet(tmp_path / "features")
    assert extracted.Metadata_Well.tolist() == images.Metadata_Well.tolist()
    np.testing.assert_allclose(
        extracted[features], profiles[features], rtol=1e-5, atol=1e-6
    )
