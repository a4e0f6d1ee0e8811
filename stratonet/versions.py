"""What ``stratonet --version`` prints."""

from __future__ import annotations

import argparse
from typing import NoReturn

# Libraries on which numbers depend, or which a bug report should name.
LIBRARIES = (
    "numpy",
    "onnxruntime",
    "pillow",
    "tifffile",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "cellprofiler",
)


class ShowVersion(argparse.Action):
    """Print what is needed to explain numbers: versions, and the feature set."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option: str | None = None,
    ) -> NoReturn:
        """Print the versions, and exit.

        Parameters
        ----------
        parser : argparse.ArgumentParser
            Of the program.
        namespace : argparse.Namespace
            Not used.
        values : object
            Not used.
        option : str, optional
            Not used.
        """
        # Imported only when asked for, since every command sets this up.
        import platform
        from importlib.metadata import PackageNotFoundError, version

        from stratonet import __version__
        from stratonet.weights_file import read_feature_set_id

        print(f"stratonet {__version__}")
        print(f"feature set {read_feature_set_id()}")
        print(f"Python {platform.python_version()} on {platform.platform()}")
        for name in LIBRARIES:
            try:
                print(f"{name} {version(name)}")
            except PackageNotFoundError:
                print(f"{name} not installed")
        parser.exit()
