"""Kill a run in parts at random moments, run it again, and compare the tables.

    python benchmarks/killed_runs.py DATA/bbbc022 OUTPUT SITES KILLS LONGEST SEED

The pipeline published with BBBC022, with MeasureStratoFeatures in place of its exports,
is run on its first SITES sites (default: 4): by ``cellprofiler -c -r``, unless that has
been done already, then by ``stratonet run-cellprofiler -n 2``, which is killed
(SIGKILL) after 5 to LONGEST seconds (60) and started again. Parts have one site, so
that some are complete. A run that ends before it is killed is compared, and another one
started, until KILLS (10) runs were killed; the last run is not killed. Every table is
compared with that of one process, cell by cell, except for times and time stamps. All
arguments but the first are optional, from the last on.
"""

import random
import subprocess
import sys
from pathlib import Path

from batches import are_equal, write_pipeline
from screens import link_bbbc022_plate, list_channels, read_bbbc022

from cellprofiler_plugin import headless

SHORTEST = 5


def compare(expected, received):
    tables = [
        path for path in expected.iterdir() if path.suffix in (".csv", ".parquet")
    ]
    for path in sorted(tables):
        same = (received / path.name).exists() and are_equal(path, received / path.name)
        print(f"{received.name}/{path.name}: {'the same' if same else 'DIFFERENT'}")
    leftovers = sorted(path.name for path in received.glob("_parts-*"))
    print(
        f"{received.name}: left behind: {', '.join(leftovers) or 'nothing'}", flush=True
    )


def start(arguments, output):
    command = [sys.executable, "-m", "stratonet_cli", "run-cellprofiler", "--quiet"]
    command += ["-n", "2", "--images-per-batch", "1", "-o", output]
    return subprocess.Popen([*command, *arguments])


def main(data, output, sites=4, kills=10, longest=60, seed=0):
    output.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    pipeline = output / "with_stratonet.cppipe"
    channels = list_channels(read_bbbc022(data))
    write_pipeline(data / "BBBC022_Analysis_Final.cppipe", channels, pipeline)
    images = link_bbbc022_plate(data, output)
    arguments = [f"--image-directory={images}", f"--last-image-set={sites}"]
    undisturbed = output / "one"
    if not (undisturbed / "Image.csv").exists():
        headless.run_pipeline(pipeline, undisturbed, ["Image.csv"], *arguments)
    killed = finished = 0
    while killed < kills:
        killed_output = output / f"killed{seed}-{finished}"
        run = start(["-p", pipeline, *arguments], killed_output)
        seconds = rng.uniform(SHORTEST, longest)
        try:
            run.wait(seconds)
            compare(undisturbed, killed_output)
            finished += 1
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
            killed += 1
            done = len(list(killed_output.glob("_parts-*/*.done")))
            print(f"killed after {seconds:.0f} s, {done} parts kept", flush=True)
    killed_output = output / f"killed{seed}-{finished}"
    start(["-p", pipeline, *arguments], killed_output).wait()
    compare(undisturbed, killed_output)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]).resolve(),
        Path(sys.argv[2] if len(sys.argv) > 2 else "killed_runs").resolve(),
        *map(int, sys.argv[3:]),
    )
