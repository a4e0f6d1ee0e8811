"""``python -m training``.

From images to a weights file that CellProfiler and scikit-learn load.
"""

import argparse
import os
import sys
from pathlib import Path

CONFIGS = Path(__file__).parent / "configs"
DATA = (
    "folder with train/<wnid>/*.JPEG and val/ (by folder, or flat with its ground-truth"
    " file), or of TFRecord shards"
)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description=(
            "Train a network on ImageNet and make a weights file of it, which both"
            " MeasureStratoFeatures and StratoFeatureTransformer load. In this order:"
            " records (faster input), train, evaluate, export."
        ),
        epilog=(
            "Configurations that are ready:"
            f" {', '.join(sorted(path.stem for path in CONFIGS.glob('*.toml')))} (in"
            " training/configs; a name is enough). training/README.md goes through it"
            " step by step."
        ),
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser(
        "records",
        help="write images as TFRecord shards, which are read faster",
        description=(
            "Resize all images once and write them as shards. Killed, the same command"
            " goes on."
        ),
    )
    command.add_argument("data", type=Path, help=DATA)
    command.add_argument("output", type=Path, help="folder for the shards")
    command.add_argument(
        "--image-size",
        type=int,
        default=224,
        help="of the networks to train (default: 224)",
    )

    command = commands.add_parser(
        "train",
        help="train a network",
        description=(
            "Train the network of a configuration file. The best checkpoint, a log,"
            " TensorBoard's files and a curve are kept in a folder. Killed, the same"
            " command goes on after the last epoch and ends with the same numbers."
        ),
    )
    _add_run(command)
    command.add_argument(
        "--devices",
        choices=("one", "all", "machines"),
        default="one",
        help=(
            "one GPU (or the CPU; default), all GPUs of this machine, or those of all"
            " machines in TF_CONFIG"
        ),
    )
    command.add_argument("--seed", type=int, help="instead of the configuration's")

    command = commands.add_parser(
        "search",
        help="search for hyperparameters",
        description=(
            "Try configurations in the ranges of the configuration's [search] table,"
            " one process per GPU. Killed, the same command goes on."
        ),
    )
    _add_run(command)
    command.add_argument("--trials", type=int, default=20, help="in all (default: 20)")
    command.add_argument("--workers", type=int, help="processes (default: one per GPU)")

    command = commands.add_parser(
        "evaluate",
        help="top-1 and top-5 of a run, or of a weights file",
        description=(
            "Of a run: its best checkpoint on the validation images. Of a weights file,"
            " which has no classifier: a linear probe on its taps, fitted on some of"
            " the training images, on grey images as a microscope makes them."
        ),
    )
    command.add_argument(
        "source",
        help=(
            "folder of a run, or a weights file (.onnx), or the name of one that ships"
        ),
    )
    command.add_argument("--data", type=Path, required=True, help=DATA)
    command.add_argument(
        "--per-class",
        type=int,
        default=200,
        help="training images of the probe (default: 200)",
    )

    command = commands.add_parser(
        "export",
        help="write a weights file",
        description=(
            "Write the best checkpoint of a run, or the start weights of a"
            " configuration, as a weights file with its card."
        ),
    )
    command.add_argument("source", help="folder of a run, or a configuration")
    command.add_argument("--output", type=Path, required=True, help="the .onnx file")
    command.add_argument("--name", help="in the card (default: as the file)")
    command.add_argument(
        "--version", default="1.0.0", help="in the card (default: 1.0.0)"
    )
    command.add_argument(
        "--input-size",
        type=int,
        help="in pixels (default: the crops it was trained on)",
    )
    command.add_argument(
        "--licence", help="in the card (default: that of the weights it started from)"
    )

    command = commands.add_parser(
        "taps",
        help="where to tap: how far controls lie apart at every block",
        description=(
            "For every tap of a weights file: how far the positive and negative"
            " controls of a plate lie apart."
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

    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        globals()[f"_{options.command}"](options)
    except KeyboardInterrupt:
        sys.exit("Interrupted. The same command goes on with what is finished.")
    except (OSError, ValueError, RuntimeError) as error:
        if type(error).__module__.startswith("tensorflow"):
            raise
        sys.exit(f"{parser.prog} {options.command}: {error}")


def _add_run(command):
    command.add_argument(
        "config", help="a configuration file, or the name of one in training/configs"
    )
    command.add_argument("--data", type=Path, required=True, help=DATA)
    command.add_argument(
        "--output", type=Path, required=True, help="folder to keep everything in"
    )


def _configuration(name):
    from training.config import Config

    return Config.read(_find(name))


def _find(name):
    for path in (CONFIGS / f"{name}.toml", Path(name)):
        if path.is_file():
            return path
    shipped = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.toml")))
    raise FileNotFoundError(
        f"No configuration {str(name)!r}: give the path of a TOML file, or one of:"
        f" {shipped}."
    )


def _records(options):
    from training.records import write_records

    write_records(options.data, options.output, options.image_size)


def _train(options):
    import dataclasses

    config = _configuration(options.config)
    if options.seed is not None:
        config = dataclasses.replace(config, seed=options.seed)

    from training.trainer import train

    train(config, options.data, options.output, options.devices)


def _search(options):
    config = _configuration(options.config)

    from training.search import search

    search(config, options.data, options.output, options.trials, options.workers)


def _evaluate(options):
    from training.results import evaluate_run, evaluate_weights

    if Path(options.source).is_dir():
        found = evaluate_run(options.source, options.data)
    else:
        found = evaluate_weights(options.source, options.data, options.per_class)
    for name, value in found.items():
        print(f"{name:<14}{value:.4f}")


def _export(options):
    from training.results import export_run

    source = options.source if Path(options.source).is_dir() else _find(options.source)
    card = export_run(
        source,
        options.output,
        options.name,
        options.version,
        options.licence,
        options.input_size,
    )
    print(
        f"Wrote {options.output} ({options.output.stat().st_size / 1e6:.1f} MB):"
        f" {card.architecture}."
    )
    for tap in card.taps:
        print(
            f"  {tap.layer:<28}{tap.alias or '':<8}{tap.width:>6} wide, {tap.reduction}"
            " pixels to one"
        )


def _taps(options):
    from training.taps import taps

    taps(options.plate, options.weights, options.output)


if __name__ == "__main__":
    main()
