"""A run in parts, killed at random moments and run again: the same tables.

    python benchmarks/killed_runs.py DATA/bbbc022 OUTPUT SITES KILLS LONGEST SEED

The pipeline published with BBBC022, with MeasureStratoFeatures in place of its exports,
on its first SITES sites (default: 4). It is run by ``cellprofiler -c -r``, unless that
is done already, then by ``stratonet run-cellprofiler -n 2``, which is killed (SIGKILL)
after 5 to LONGEST seconds (60) and started again; parts are of one site, so that some
are kept. A run that ends before it is killed is compared, and another begun, until
KILLS (10) were killed; the last is left to its end. Every table is compared with that
of one process, cell for cell, without times and time stamps. All but the first may be
left out, from the last on.
"""

import random
import subprocess
import sys
from pathlib import Path

from batches import are_equal, write_pipeline
from screens import link_bbbc022_plate, list_channels, read_bbbc022

from cellprofiler_plugin import headless

SHORTEST = 5


def compare(one, two):
    tables = [path for path in one.iterdir() if path.suffix in (".csv", ".parquet")]
    for path in sorted(tables):
        same = (two / path.name).exists() and are_equal(path, two / path.name)
        print(f"{two.name}/{path.name}: {'the same' if same else 'DIFFERENT'}")
    left = sorted(path.name for path in two.glob("_parts-*"))
    print(f"{two.name}: left behind: {', '.join(left) or 'nothing'}", flush=True)


def start(arguments, output):
    command = [sys.executable, "-m", "stratonet_cli", "run-cellprofiler", "--quiet"]
    command += ["-n", "2", "--images-per-batch", "1", "-o", output]
    return subprocess.Popen([*command, *arguments])


def main(data, output, sites=4, kills=10, longest=60, seed=0):
    output.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    pipeline = output / "with_stratonet.cppipe"
    channels = list_channels(read_bbbc022(data))
    write_pipeline(data / "BBBC022_Analysis_Final.cppipe", channels, pipeline)
    images = link_bbbc022_plate(data, output)
    arguments = [f"--image-directory={images}", f"--last-image-set={sites}"]
    one = output / "one"
    if not (one / "Image.csv").exists():
        headless.run_pipeline(pipeline, one, ["Image.csv"], *arguments)
    killed = finished = 0
    while killed < kills:
        two = output / f"killed{seed}-{finished}"
        run = start(["-p", pipeline, *arguments], two)
        seconds = chance.uniform(SHORTEST, longest)
        try:
            run.wait(seconds)
            compare(one, two)
            finished += 1
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
            killed += 1
            done = len(list(two.glob("_parts-*/*.done")))
            print(f"killed after {seconds:.0f} s, {done} parts kept", flush=True)
    two = output / f"killed{seed}-{finished}"
    start(["-p", pipeline, *arguments], two).wait()
    compare(one, two)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]).resolve(),
        Path(sys.argv[2] if len(sys.argv) > 2 else "killed_runs").resolve(),
        *map(int, sys.argv[3:]),
    )
