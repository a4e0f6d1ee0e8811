"""Running CellProfiler without a window, with this folder's plug-ins."""

import os
import subprocess
import sys
from pathlib import Path

PLUGINS = Path(__file__).resolve().parent / "plugins"
LOG = "cellprofiler.log"


def build_command(pipeline, output, *arguments):
    """``cellprofiler -c -r`` in this Python.

    Parameters
    ----------
    pipeline : path
    output : path
        CellProfiler's default output folder.
    *arguments : str or path
        Further arguments of ``cellprofiler``, for example ``--data-file=...``. This
        folder's plug-ins are taken unless ``--plugins-directory=...`` is among them.
    """
    made = [
        sys.executable,
        "-m",
        "cellprofiler",
        "-c",
        "-r",
        f"--pipeline={pipeline}",
        f"--output-directory={output}",
    ]
    return [*made, f"--plugins-directory={PLUGINS}", *map(str, arguments)]


def build_environment(**more):
    """The environment for it; ``more`` in it as well."""
    return {**os.environ, "PYTHONWARNINGS": "ignore", **more}


def read_errors(log):
    """What CellProfiler said of its errors, or at the end, in a few lines."""
    lines = Path(log).read_text(errors="replace").splitlines()
    errors = [line for line in lines if "Error" in line or "ERROR" in line] or lines
    return "\n".join(errors[-10:])


def run_pipeline(pipeline, output, expected, *arguments):
    """Run ``cellprofiler -c -r`` in this Python and make sure that it has done what was asked.

    CellProfiler exits with 0 when a plug-in could not be loaded, so what counts is what
    it has written.

    Parameters
    ----------
    pipeline : path
    output : path
        CellProfiler's default output folder; made if missing. ``cellprofiler.log`` in
        it keeps what was printed.
    expected : sequence of str
        Names of files that the run has to write to ``output``; older ones are removed
        first.
    *arguments : str
        See `command`.

    Raises
    ------
    RuntimeError
        A file is missing; the message holds CellProfiler's errors.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    for name in expected:
        if (output / name).exists():
            (output / name).unlink()
    log = output / LOG
    with open(log, "w") as file:
        done = subprocess.run(
            build_command(pipeline, output, *arguments),
            stdout=file,
            stderr=subprocess.STDOUT,
            env=build_environment(),
        )
    missing = [name for name in expected if not (output / name).exists()]
    if missing or done.returncode:
        raise RuntimeError(
            f"CellProfiler did not finish (exit code {done.returncode}, missing:"
            f" {', '.join(missing) or 'nothing'}). It said:\n{read_errors(log)}\nAll of"
            f" it: {log}"
        )
