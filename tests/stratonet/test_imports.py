"""What must be installed for what: a plane needs little, a table more, S3 most."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.stock_cellprofiler
ROOT = Path(__file__).parents[2]
TABLES = ["pandas", "pyarrow", "pycytominer", "scipy", "sklearn", "matplotlib"]
REMOTE = ["aiohttp", "botocore", "fsspec", "s3fs", "tenacity", "psutil", "filelock"]
OTHERS = ["anndata", "imagecodecs", "joblib", "keras", "onnx", "tensorflow", "tqdm"]
OPTIONAL = [*TABLES, *REMOTE, *OTHERS]
MEASURING = ["onnxruntime", "PIL", "tifffile", "google"]


def run(code, *blocked):
    """Run code in a process that cannot import some packages; what it prints."""
    block = f"import sys\nfor name in {blocked!r}: sys.modules[name] = None\n"
    answer = subprocess.run(
        [sys.executable, "-c", block + code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def test_measuring_an_array_and_a_local_image(tmp_path):
    code = f"""
import numpy, tifffile
from stratonet import StratoNet
from stratonet.files.images import read_plane
from stratonet.crops import crop_square
plane = numpy.arange(6400, dtype=numpy.uint16).reshape(80, 80)
tifffile.imwrite({str(tmp_path / "a.tif")!r}, plane)
net = StratoNet.load(taps="low")
read = read_plane({str(tmp_path / "a.tif")!r})
crop = crop_square(read, (40, 40), 32)
print(net.features([plane, read, crop]).shape, net.feature_names("DNA")[0])
"""
    assert run(code, *OPTIONAL) == "(3, 1024) StratoFeatures_Low0000_DNA"


def test_local_files(tmp_path):
    code = f"""
from stratonet.files.storage import Storage
storage, folder = Storage(), {str(tmp_path)!r} + "/new"
storage.check(folder, writing=True)
storage.write(folder + "/P1/a", b"a well")
open(folder + "/file", "wb").write(b"b")
storage.write_file(folder + "/P1/b", folder + "/file")
assert storage.exists(folder + "/P1/a") and storage.is_folder(folder)
assert storage.read(folder + "/P1/a") == storage.open(folder + "/P1/a").read()
assert len(storage.list(folder)) == 2
open(folder + "/P1/.stratonet-host-1-" + "0" * 32, "w").close()
storage.tidy(folder)
storage.remove(folder + "/P1/a")
storage.prune(folder)
storage.check(folder)
print(storage.list(folder) == [folder + "/P1/b"])
"""
    assert run(code, *OPTIONAL, *MEASURING) == "True"


@pytest.mark.parametrize("missing", ["tenacity", "aiohttp", "fsspec", "s3fs"])
def test_a_url_says_what_to_install(missing):
    code = """
from stratonet.files.storage import Storage
try:
    Storage().read("s3://plates/a.tif")
except ImportError as error:
    print(error)
"""
    others = [name for name in ("aiohttp", "fsspec", "s3fs") if _is_missing(name)]
    said = run(code, *({missing, *others}))
    assert said.startswith("s3://plates/a.tif: reaching URLs needs the package ")
    # Beside CellProfiler's scikit-learn only one of both is harmless.
    assert re.search(
        r"Install (stratonet\[sklearn\] or )?stratonet\[extract\]\.$", said
    )
    if not others and not _is_missing("tenacity"):
        assert f"package {missing}." in said


def _is_missing(name):
    from importlib.util import find_spec

    return find_spec(name) is None


@pytest.mark.parametrize(
    "module",
    [
        "stratonet",
        "stratonet.card",
        "stratonet.naming",
        "stratonet.parallel",
        "stratonet.tables",
        "stratonet.tables.columns",
        "stratonet.tables.wells",
        "stratonet.tables.writing",
        "stratonet.files.storage",
        "stratonet.projection",
        "stratonet.preprocessing",
    ],
)
def test_modules_that_import_little(module):
    run(f"import {module}", *OPTIONAL, *MEASURING)


def test_the_package_starts_in_less_than_a_second():
    # Time of the processor: others may be at work on the same machine.
    code = "import time, stratonet; print(time.process_time())"
    assert min(float(run(code)) for _ in range(2)) < 1


@pytest.mark.slow
def test_tables_hand_on_what_users_import():
    pytest.importorskip("pandas")
    code = """
import stratonet.tables as tables
assert "pandas" not in sys.modules
from stratonet.tables import FeatureTable, feature_columns, read_features, to_anndata
print(sorted(tables.__all__))
"""
    names = "feature_columns', 'metadata_columns', 'read_features', 'to_anndata"
    of_spatialdata = "to_spatialdata_table', 'write_spatialdata_table"
    assert run(code) == f"['FeatureTable', '{names}', '{of_spatialdata}']"
