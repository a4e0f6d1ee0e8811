"""The command line ``python -m training``.

It goes from images to a weights file that CellProfiler and scikit-learn load. Each
command imports what it needs when it runs, so that ``--help`` does not wait for
TensorFlow.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stratonet.arguments import RefusedOption, parse_count
from training.finetune_command import add_finetune
from training.quantize_command import add_quantize

if TYPE_CHECKING:
    from training.config import Config

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# Configurations are part of the checkout, as this package is.
CONFIGS = Path(__file__).parent / "configs"
DATA = (
    "folder with train/<wnid>/*.JPEG and val/ (by folder, or flat with its ground-truth"
    " file), or of TFRecord shards"
)
# Exit codes, as in every command: the arguments are refused; the user interrupted it.
REFUSED, INTERRUPTED = 2, 130
RESUMES = "If interrupted, run the same command again; it resumes."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command given by the arguments; exit with a message on errors.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: the command line of this process.
    """
    parser = _make_parser()
    options = parser.parse_args(arguments)
    # TensorFlow reads this on import: print warnings and errors, but no information.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("Interrupted. Run the same command again; it resumes.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except RefusedOption as error:
        print(f"{parser.prog} {options.command}: {error}", file=sys.stderr)
        sys.exit(REFUSED)
    except (OSError, ValueError, RuntimeError) as error:
        # TensorFlow's own errors are bugs here, which a traceback helps to find.
        if type(error).__module__.startswith("tensorflow"):
            raise
        sys.exit(f"{parser.prog} {options.command}: {error}")


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description=(
            "Train a network on ImageNet and turn it into a weights file that both"
            " MeasureStratoFeatures and StratoFeatureTransformer load. Run the"
            " commands in this order: records (faster input), train, evaluate, export."
            " Or let a trained network learn an assay of your own: finetune."
        ),
        epilog=(
            f"Ready-made configurations: {', '.join(_list_configs())} (in"
            " training/configs; give just the name). training/README.md explains each"
            " step."
        ),
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_records(commands)
    _add_train(commands)
    _add_search(commands)
    _add_evaluate(commands)
    _add_export(commands)
    _add_taps(commands)
    add_finetune(commands)
    add_quantize(commands)
    return parser


def _add_records(commands: Commands) -> None:
    command = commands.add_parser(
        "records",
        help="write images as TFRecord shards, which can be read faster",
        description=f"Resize all images once and write them as shards. {RESUMES}",
    )
    command.add_argument("data", type=Path, help=DATA)
    command.add_argument("output", type=Path, help="folder for the shards")
    command.add_argument(
        "--image-size",
        type=parse_count,
        default=224,
        help="input size of the networks to train, in pixels (default: 224)",
    )
    command.set_defaults(run=_run_records)


def _run_records(options: argparse.Namespace) -> None:
    from training.records import write_records

    write_records(options.data, options.output, options.image_size)


def _add_train(commands: Commands) -> None:
    command = commands.add_parser(
        "train",
        help="train a network",
        description=(
            "Train the network that a configuration file describes. The best"
            " checkpoint, a log, TensorBoard's files and a plot of the learning curve"
            f" are written to a folder. {RESUMES} It continues after the last finished"
            " epoch, and ends with the same numbers."
        ),
    )
    _add_run_arguments(command)
    command.add_argument(
        "--devices",
        choices=("one", "all", "machines"),
        default="one",
        help=(
            "one GPU (or the CPU; default), all GPUs of this machine, or those of all"
            " machines in TF_CONFIG"
        ),
    )
    command.add_argument(
        "--seed", type=int, help="seed to use instead of the configuration's"
    )
    command.set_defaults(run=_run_train)


def _run_train(options: argparse.Namespace) -> None:
    import dataclasses

    config = _read_config(options.config)
    # Compared with None, because 0 is a valid seed.
    if options.seed is not None:
        config = dataclasses.replace(config, seed=options.seed)

    from training.trainer import train

    train(config, options.data, options.output, options.devices)


def _add_search(commands: Commands) -> None:
    command = commands.add_parser(
        "search",
        help="search for hyperparameters",
        description=(
            "Try configurations within the ranges of the configuration's [search]"
            f" table, one process per GPU. {RESUMES}"
        ),
    )
    _add_run_arguments(command)
    command.add_argument(
        "--trials",
        type=parse_count,
        default=20,
        help="number of trials, including those of earlier calls (default: 20)",
    )
    command.add_argument(
        "--workers", type=parse_count, help="processes (default: one per GPU)"
    )
    command.set_defaults(run=_run_search)


def _run_search(options: argparse.Namespace) -> None:
    config = _read_config(options.config)

    from training.search import search

    search(config, options.data, options.output, options.trials, options.workers)


def _add_evaluate(commands: Commands) -> None:
    command = commands.add_parser(
        "evaluate",
        help="top-1 and top-5 of a run, or of a weights file",
        description=(
            "For a run: evaluate its best checkpoint on the validation images. For a"
            " weights file, which has no classifier: fit a linear probe on its taps to"
            " some of the training images, turned to grey as a microscope would give"
            " them."
        ),
    )
    command.add_argument(
        "source",
        help=(
            "folder of a run, a weights file (.onnx), or the name of weights that ship"
        ),
    )
    command.add_argument("--data", type=Path, required=True, help=DATA)
    command.add_argument(
        "--per-class",
        type=parse_count,
        default=200,
        help="training images per class for the probe (default: 200)",
    )
    command.set_defaults(run=_run_evaluate)


def _run_evaluate(options: argparse.Namespace) -> None:
    import dataclasses

    from training.evaluate import evaluate_run, evaluate_weights

    # A run is a folder; weights are a file or the name of weights that ship.
    if Path(options.source).is_dir():
        scores = dataclasses.asdict(evaluate_run(options.source, options.data))
    else:
        scores = evaluate_weights(options.source, options.data, options.per_class)
    for name, value in scores.items():
        print(f"{name:<14}{value:.4f}")


def _add_export(commands: Commands) -> None:
    command = commands.add_parser(
        "export",
        help="write a weights file",
        description=(
            "Write the best checkpoint of a run, or the start weights of a"
            " configuration, as a weights file with its card."
        ),
    )
    command.add_argument("source", help="folder of a run, or a configuration")
    command.add_argument(
        "--output", type=Path, required=True, help="the .onnx file to write"
    )
    command.add_argument(
        "--name", help="name in the card (default: that of the file, without .onnx)"
    )
    command.add_argument(
        "--version", default="1.0.0", help="version in the card (default: 1.0.0)"
    )
    command.add_argument(
        "--input-size",
        type=parse_count,
        help="input size of the network, in pixels (default: its training crops)",
    )
    command.add_argument(
        "--licence",
        help="licence in the card (default: that of the weights it started from)",
    )
    command.set_defaults(run=_run_export)


def _run_export(options: argparse.Namespace) -> None:
    from training.export import export_run

    source = Path(options.source)
    if not source.is_dir():
        source = _find_config(options.source)
    card = export_run(
        source,
        options.output,
        options.name,
        options.version,
        options.licence,
        options.input_size,
    )
    # A megabyte as file managers count it: 10^6 bytes.
    megabytes = options.output.stat().st_size / 1e6
    print(f"Wrote {options.output} ({megabytes:.1f} MB): {card.architecture}.")
    for tap in card.taps:
        print(
            f"  {tap.layer:<28}{tap.alias or '':<8}{tap.width:>6} wide, {tap.reduction}"
            " input pixels per pixel"
        )


def _add_taps(commands: Commands) -> None:
    command = commands.add_parser(
        "taps",
        help="find where to tap: how well every block separates the controls",
        description=(
            "Measure, for every tap of a weights file, how well it separates the"
            " positive from the negative controls of a plate."
        ),
    )
    command.add_argument(
        "plate",
        type=Path,
        help="folder of images with labels.csv (well, role, file_<channel>)",
    )
    command.add_argument(
        "--weights", default="stratonet50", help="name or path (default: stratonet50)"
    )
    command.add_argument(
        "--output", type=Path, required=True, help="folder for the table and the figure"
    )
    command.add_argument(
        "--recipe",
        help="how images become features (default: what the weights recommend)",
    )
    command.set_defaults(run=_run_taps)


def _run_taps(options: argparse.Namespace) -> None:
    from training.taps import compare_taps

    compare_taps(options.plate, options.weights, options.output, recipe=options.recipe)


def _add_run_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "config", help="a configuration file, or the name of one in training/configs"
    )
    command.add_argument("--data", type=Path, required=True, help=DATA)
    command.add_argument(
        "--output", type=Path, required=True, help="folder for everything written"
    )


def _read_config(name: str) -> Config:
    from training.config import Config

    return Config.read(_find_config(name))


def _find_config(name: str) -> Path:
    # The name of a configuration that ships wins over a file of the same name.
    for path in (CONFIGS / f"{name}.toml", Path(name)):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"No configuration {name!r}: give the path of a TOML file, or one of:"
        f" {', '.join(_list_configs())}."
    )


def _list_configs() -> list[str]:
    return sorted(path.stem for path in CONFIGS.glob("*.toml"))


if __name__ == "__main__":
    main()
