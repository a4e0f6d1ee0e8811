"""Running CellProfiler without a window, with this folder's plug-ins."""

import os
import subprocess
import sys
from pathlib import Path

PLUGINS = Path(__file__).resolve().parent


def run(pipeline, output, expected, *arguments):
    """Run ``cellprofiler -c -r`` in this Python and make sure that it has done what was asked.

    CellProfiler exits with 0 when a plug-in could not be loaded, so what counts is what it has written.

    Parameters
    ----------
    pipeline : path
    output : path
        CellProfiler's default output folder; made if missing. ``cellprofiler.log`` in it keeps what was printed.
    expected : sequence of str
        Names of files that the run has to write to ``output``; older ones are removed first.
    *arguments : str
        Further arguments of ``cellprofiler``, for example ``--data-file=...``.

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
    command = [
        sys.executable,
        "-m",
        "cellprofiler",
        "-c",
        "-r",
        f"--pipeline={pipeline}",
        f"--output-directory={output}",
    ]
    command += [f"--plugins-directory={PLUGINS}", *arguments]
    log = output / "cellprofiler.log"
    with open(log, "w") as file:
        done = subprocess.run(
            list(map(str, command)),
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
    missing = [name for name in expected if not (output / name).exists()]
    if missing or done.returncode:
        lines = log.read_text(errors="replace").splitlines()
        told = [line for line in lines if "Error" in line or "ERROR" in line] or lines[-10:]
        raise RuntimeError(
            f"CellProfiler did not finish (exit code {done.returncode}, missing: {', '.join(missing) or 'nothing'}). "
            f"It said:\n" + "\n".join(told[-10:]) + f"\nAll of it: {log}"
        )
