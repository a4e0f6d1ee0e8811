"""Run a screen of two plates from S3 to S3: killed and resumed, then on a Ray cluster.

    .venv/bin/python benchmarks/two_plates.py > docs/two_plates.txt

The cluster loses a node. It prints what a user sees: each command and its output (only
the first line of Ray's own message about the lost node). S3 is simulated by moto's
server, over real HTTP.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import s3fs

from stratonet_sklearn.datasets import read_plate, simulate_plate

BUCKET = "screen"
TABLE = "s3://screen/load_data.parquet"
# Wells measured before the process, or the node, is killed.
WELLS_BEFORE_DEATH = 10


def main() -> None:
    port = find_free_port()
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
        AWS_ACCESS_KEY_ID="simulated",
        AWS_SECRET_ACCESS_KEY="simulated",
        AWS_REGION="us-east-1",
        AWS_EC2_METADATA_DISABLED="true",
        COLUMNS="110",
    )
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        files = s3fs.S3FileSystem(use_listings_cache=False)
        fill_bucket(files)
        run_extract("s3://screen/features", kill_when=lambda: has_enough_wells(files))
        run_extract("s3://screen/features")
        run_on_cluster(files)
        look_at_features()
    finally:
        server.terminate()


def find_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def fill_bucket(files: s3fs.S3FileSystem) -> None:
    """Upload two simulated plates of 24 wells, one image missing and one cut short."""
    make_bucket(files)
    tables = [
        upload_plate(files, seed, plate)
        for seed, plate in enumerate(("SIM001", "SIM002"))
    ]
    table = pd.concat(tables, ignore_index=True)
    with files.open(f"{BUCKET}/load_data.parquet", "wb") as file:
        table.to_parquet(file)
    missing = table.iloc[3]
    files.rm(missing.PathName_DNA + missing.FileName_DNA)
    cut_short = table.iloc[60]
    path = cut_short.PathName_DNA + cut_short.FileName_DNA
    files.pipe(path, files.cat(path)[:20_000])


def make_bucket(files: s3fs.S3FileSystem) -> None:
    while True:
        try:
            files.mkdir(BUCKET)
            return
        except OSError:  # the server is not up yet
            time.sleep(0.5)


def upload_plate(files: s3fs.S3FileSystem, seed: int, plate: str) -> pd.DataFrame:
    """Simulate a plate and upload its images; return its LoadData table."""
    folder_url = f"s3://{BUCKET}/images/{plate}/"
    with tempfile.TemporaryDirectory() as folder:
        simulate_plate(folder, seed=seed)
        images, labels = read_plate(folder)
        files.put(f"{folder}/*.tif", f"{BUCKET}/images/{plate}/")
    table = pd.DataFrame(
        {
            "Metadata_Batch": "2026_11",
            "Metadata_Plate": plate,
            "Metadata_Well": labels.well,
        }
    )
    table["Metadata_Site"] = labels.site
    table["Metadata_Role"] = labels.role
    for channel in images:
        table[f"FileName_{channel}"] = [Path(path).name for path in images[channel]]
        table[f"PathName_{channel}"] = folder_url
    return table


def run_extract(
    output: str, *options: str, kill_when: Callable[[], bool] | None = None
) -> None:
    """Run the command, kill it once a condition holds, and print its output."""
    arguments = ["extract", TABLE, "--output", output, *options]
    print(f"\n$ stratonet {' '.join(arguments)}", flush=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "stratonet_cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if kill_when:
        while process.poll() is None and not kill_when():
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    out, err = process.communicate()
    # Only the last state of a progress bar.
    bar = err.replace("\r", "\n").strip().splitlines()[-1:]
    end = "Killed" if kill_when else f"(exit status {process.returncode})"
    print("\n".join([*bar, *shorten_ray_message(out), end]))


def shorten_ray_message(out: str) -> list[str]:
    """Return the lines of an output, with only the first of Ray's own message."""
    lines = [re.sub(r"\x1b\[\d+m", "", line) for line in out.splitlines()]
    ray_lines = [line for line in lines if re.match(r"\(raylet\)| +\[|\t|$", line)]
    return [*ray_lines[:1], *(line for line in lines if line not in ray_lines)]


def has_enough_wells(files: s3fs.S3FileSystem, folder: str = "features") -> bool:
    """Tell whether enough wells are measured for a kill to matter."""
    names = files.find(f"{BUCKET}/{folder}/_units")
    wells = [name for name in names if name.endswith(".parquet")]
    return len(wells) >= WELLS_BEFORE_DEATH


def run_on_cluster(files: s3fs.S3FileSystem) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    print(
        "\n(A Ray cluster of three nodes. One of them is killed when ten wells are"
        " measured.)"
    )

    def remove_node() -> None:
        while not has_enough_wells(files, "features-ray"):
            time.sleep(0.1)
        cluster.remove_node(nodes[0], allow_graceful=False)

    removing = threading.Thread(target=remove_node)
    removing.start()
    options = ("--engine", "ray", "--address", cluster.address)
    run_extract("s3://screen/features-ray", *options)
    removing.join()
    cluster.shutdown()


LOOK = """
import numpy, pandas, pycytominer
pandas.set_option("display.width", 110, "display.max_columns", 6)
from stratonet.tables import feature_columns, read_features
frame = pandas.read_parquet("s3://screen/features")
print(frame[["Metadata_Plate", "Metadata_Well", "Metadata_Site", "StratoFeatures_Low0000_GFP"]], len(frame.columns))
print(*frame.Metadata_Error.dropna(), sep="\\n")
features = feature_columns(frame)
other = read_features("s3://screen/features-ray")
print("largest difference to Ray's:", numpy.nanmax(abs(frame[features].to_numpy() - other[features].to_numpy())))
wells = pycytominer.aggregate(frame, strata=["Metadata_Plate", "Metadata_Well", "Metadata_Role"], features=features)
normalized = pycytominer.normalize(wells, features=features, samples="Metadata_Role == 'negcon'",
                                   meta_features=["Metadata_Plate", "Metadata_Well", "Metadata_Role"])
print(normalized.groupby("Metadata_Role")[features[-3:]].mean().round(2))
"""  # noqa: E501


def look_at_features() -> None:
    """Show what a data scientist does with the features of both runs."""
    print(f"\n$ python\n{textwrap.indent(LOOK.strip(), '>>> ')}", flush=True)
    command = [sys.executable, "-W", "ignore", "-c", LOOK]
    print(subprocess.run(command, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
