"""Run CellProfiler without a window, with this package's plug-ins."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

PLUGINS = Path(__file__).resolve().parent / "plugins"
# Measures whole images listed in a LoadData table; users start from wholeimages.cppipe.
LOAD_DATA_PIPELINE = PLUGINS.with_name("load_data.cppipe")
LOG = "cellprofiler.log"
# Lines of a log that an error message quotes.
MOST_ERROR_LINES = 10


@dataclass(frozen=True)
class CellProfilerOptions:
    """Options of ``cellprofiler -c -r``, by their long names.

    Attributes
    ----------
    image_directory : path, optional
        Folder of the images.
    data_file : path, optional
        Table of LoadData.
    file_list : path, optional
        A file with one image per line, for the module Images.
    first_image_set, last_image_set : int, optional
        Numbers, counted from 1.
    group : str, optional
        ``KEY=VALUE,...``: only this group of a grouped pipeline.
    plugins_directory : path, optional
        Used in place of `PLUGINS`.
    temporary_directory : path, optional
    conserve_memory : str, optional
        Whether to release memory after each image set.
    done_file : path, optional
        File to which CellProfiler writes how the run ended.
    always_continue : bool
        Go on after an image set with an error.

    Examples
    --------
    >>> options = CellProfilerOptions(data_file="plate.csv", always_continue=True)
    >>> options.list_arguments()
    ['--data-file=plate.csv', '--always-continue']
    """

    image_directory: str | os.PathLike[str] | None = None
    data_file: str | os.PathLike[str] | None = None
    file_list: str | os.PathLike[str] | None = None
    first_image_set: int | None = None
    last_image_set: int | None = None
    group: str | None = None
    plugins_directory: str | os.PathLike[str] | None = None
    temporary_directory: str | os.PathLike[str] | None = None
    conserve_memory: str | None = None
    done_file: str | os.PathLike[str] | None = None
    always_continue: bool = False

    def list_arguments(self) -> list[str]:
        """List the options that are set, as arguments of ``cellprofiler``."""
        return list(self._format_options())

    def _format_options(self) -> Iterator[str]:
        for field in fields(self):
            value = getattr(self, field.name)
            name = field.name.replace("_", "-")
            if value is True:
                yield f"--{name}"
            elif value is not None and value is not False:
                yield f"--{name}={value}"


def build_command(
    pipeline: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *arguments: str | os.PathLike[str],
) -> list[str]:
    """Build the command ``cellprofiler -c -r`` in this Python.

    Parameters
    ----------
    pipeline : path
        ``.cppipe``, ``.cpproj`` or ``Batch_data.h5``.
    output : path
        CellProfiler's default output folder.
    *arguments : str or path
        Further arguments of ``cellprofiler``, for example ``--data-file=...``. This
        package's plug-ins are used unless ``--plugins-directory=...`` is among them.

    Returns
    -------
    list of str
    """
    return [
        sys.executable,
        "-m",
        "cellprofiler",
        "-c",
        "-r",
        f"--pipeline={pipeline}",
        f"--output-directory={output}",
        # If the option is given twice, CellProfiler takes the last one.
        f"--plugins-directory={PLUGINS}",
        *map(str, arguments),
    ]


def build_environment(**variables: str) -> dict[str, str]:
    """Build the environment for CellProfiler.

    Parameters
    ----------
    **variables : str
        Further environment variables.

    Returns
    -------
    dict of str to str
    """
    # With newer packages, CellProfiler 4 and its libraries print hundreds of warnings.
    return {**os.environ, "PYTHONWARNINGS": "ignore", **variables}


def read_errors(log: str | os.PathLike[str]) -> str:
    """Read CellProfiler's errors from a log.

    Parameters
    ----------
    log : path
        The file with what a run has printed.

    Returns
    -------
    str
        The last lines that mention an error; if there are none, the last lines.
    """
    lines = Path(log).read_text(errors="replace").splitlines()
    # The last line of a traceback says what matters.
    errors = [line for line in lines if "Error" in line or "ERROR" in line]
    return "\n".join((errors or lines)[-MOST_ERROR_LINES:])


def run_pipeline(
    pipeline: str | os.PathLike[str],
    output: str | os.PathLike[str],
    expected: Sequence[str],
    *arguments: str,
) -> None:
    """Run ``cellprofiler -c -r`` in this Python and check that it wrote its files.

    CellProfiler ends with exit code 0 even when a plug-in could not be loaded, so its
    files are checked instead.

    Parameters
    ----------
    pipeline : path
        ``.cppipe``, ``.cpproj`` or ``Batch_data.h5``.
    output : path
        CellProfiler's default output folder; made if missing. What CellProfiler prints
        is written to ``cellprofiler.log`` in it.
    expected : sequence of str
        Names of files that the run has to write to ``output``; older ones are removed
        first.
    *arguments : str
        See `build_command`.

    Raises
    ------
    RuntimeError
        A file is missing; the message holds CellProfiler's errors.
    """
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    # An older file would be mistaken for one of this run.
    for name in expected:
        (folder / name).unlink(missing_ok=True)
    log = folder / LOG
    with open(log, "w") as file:
        process = subprocess.run(
            build_command(pipeline, folder, *arguments),
            stdout=file,
            stderr=subprocess.STDOUT,
            env=build_environment(),
        )
    missing = [name for name in expected if not (folder / name).exists()]
    if missing or process.returncode:
        raise RuntimeError(
            f"CellProfiler did not finish (exit code {process.returncode}, missing:"
            f" {', '.join(missing) or 'nothing'}). It said:\n{read_errors(log)}\nThe"
            f" whole log: {log}"
        )
