"""The command ``stratonet``: gathers the commands of the rooms below and imports each only when it is called."""

import argparse
import sys
from pathlib import Path

from stratonet import __version__


def _plugins_directory(options):
    from cellprofiler_plugin._headless import PLUGINS

    print(PLUGINS)


def _demo(options):
    from stratonet_demo import demo

    demo(options.plate, options.output)


def main(arguments=None):
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="stratonet", description="Deep features for high-content screening.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser(
        "plugins-directory",
        help="print the folder to give to CellProfiler as its plugins directory",
        description="Print the folder with MeasureStratoFeatures, for CellProfiler's preferences or for "
        "cellprofiler --plugins-directory.",
    )
    command.set_defaults(run=_plugins_directory)

    command = commands.add_parser(
        "demo",
        help="turn a plate into features through CellProfiler and through scikit-learn, and compare",
        description="Measure a plate in headless CellProfiler and in a scikit-learn Pipeline, check that both give the "
        "same features, and tell positive from negative control wells. Needs CellProfiler in the same Python, which "
        "make demo sets up.",
    )
    command.add_argument(
        "--plate",
        type=Path,
        metavar="DIR",
        help="folder with labels.csv: a column well, file_<channel> for each channel, and role with negcon and poscon "
        "(default: a simulated plate)",
    )
    command.add_argument(
        "--output", type=Path, metavar="DIR", default=Path("stratonet-demo"), help="default: %(default)s"
    )
    command.set_defaults(run=_demo)

    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        print(f"stratonet: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
