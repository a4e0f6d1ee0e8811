"""A screen of two plates from S3 to S3: killed and continued, then on a Ray cluster that loses a node.

    .venv/bin/python benchmarks/two_plates.py > docs/two_plates.txt

What it prints is what a user sees: each command, and what it says (of Ray's own message
about the lost node the first line). S3 is moto's server, a real one over HTTP."""

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
from pathlib import Path

import pandas as pd
import s3fs

from stratonet_sklearn.datasets import read_plate, simulate_plate

BUCKET = "screen"


def main():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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
        fill(files)
        extract(
            "s3://screen/load_data.parquet",
            "s3://screen/features",
            dies=lambda: held(files, "features") >= 10,
        )
        extract("s3://screen/load_data.parquet", "s3://screen/features")
        on_a_cluster(files)
        look()
    finally:
        server.terminate()


def fill(files):
    """Upload two simulated plates of 24 wells, with one image missing and one cut short."""
    while True:
        try:
            files.mkdir(BUCKET)
            break
        except OSError:
            time.sleep(0.5)
    tables = []
    for seed, plate in enumerate(("SIM001", "SIM002")):
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
        table["Metadata_Site"], table["Metadata_Role"] = labels.site, labels.role
        for channel in images:
            table[f"FileName_{channel}"] = [Path(path).name for path in images[channel]]
            table[f"PathName_{channel}"] = f"s3://{BUCKET}/images/{plate}/"
        tables.append(table)
    table = pd.concat(tables, ignore_index=True)
    with files.open(f"{BUCKET}/load_data.parquet", "wb") as file:
        table.to_parquet(file)
    missing, short = (
        row.PathName_DNA + row.FileName_DNA for row in (table.iloc[3], table.iloc[60])
    )
    files.rm(missing)
    files.pipe(short, files.cat(short)[:20_000])


def extract(source, output, *options, dies=None):
    arguments = ["extract", source, "--output", output, *options]
    print(f"\n$ stratonet {' '.join(arguments)}", flush=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "stratonet_cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if dies:
        while process.poll() is None and not dies():
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    out, err = process.communicate()
    last = (
        err.replace("\r", "\n").strip().splitlines()[-1:]
    )  # of a progress bar what it came to
    out = [re.sub(r"\x1b\[\d+m", "", line) for line in out.splitlines()]
    of_ray = [line for line in out if re.match(r"\(raylet\)| +\[|\t|$", line)]
    out = [*of_ray[:1], *(line for line in out if line not in of_ray)]
    print(
        "\n".join(
            [*last, *out, "Killed" if dies else f"(exit status {process.returncode})"]
        )
    )


def held(files, folder):
    return len(
        [
            name
            for name in files.find(f"{BUCKET}/{folder}/_units")
            if name.endswith(".parquet")
        ]
    )


def on_a_cluster(files):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    lost, _ = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    print(
        "\n(A Ray cluster of three nodes. One of them is killed when ten wells are"
        " there.)"
    )

    def lose():
        while held(files, "features-ray") < 10:
            time.sleep(0.1)
        cluster.remove_node(lost, allow_graceful=False)

    losing = threading.Thread(target=lose)
    losing.start()
    options = ("--engine", "ray", "--address", cluster.address)
    extract("s3://screen/load_data.parquet", "s3://screen/features-ray", *options)
    losing.join()
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
"""


def look():
    print(f"\n$ python\n{textwrap.indent(LOOK.strip(), '>>> ')}", flush=True)
    print(
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", LOOK], capture_output=True, text=True
        ).stdout
    )


if __name__ == "__main__":
    main()
