"""The reader of planes against Bio-Formats, as CellProfiler uses it.

Of each file, both show the same pixels; or it is refused, and told what it holds.
"""

import re
from importlib.util import find_spec

import numpy as np
import pytest
from bioformats_planes import read_with_bioformats
from plane_files import make_plane_files

from stratonet.files.images import decode_plane

pytest.importorskip("bioformats", reason="CellProfiler is not installed")

pytestmark = [pytest.mark.stock_cellprofiler, pytest.mark.slow]

FILES = make_plane_files()
HAS_PACKAGE = find_spec("imagecodecs") is not None


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What Bio-Formats shows of each file."""
    folder = tmp_path_factory.mktemp("planes")
    for file in FILES.values():
        (folder / file.name).write_bytes(file.content)
    return read_with_bioformats(folder)


def find_frame(name):
    """Which frame is asked for, if any."""
    frame = re.search(r"_frame(\d+)", name)
    return int(frame[1]) if frame else None


def is_close(pixels, file):
    if pixels is None or pixels.shape != file.pixels.shape:
        return False
    differences = pixels.astype(float) - file.pixels.astype(float)
    return np.abs(differences).max() <= file.close


def test_the_collection_is_large():
    kinds = {name.rpartition(".")[2] for name in FILES}
    assert len(FILES) > 200 and kinds == {"tif", "png", "jpg"}


@pytest.mark.parametrize("name", FILES)
def test_same_pixels_or_refused_with_what_the_file_holds(name, shown):
    file, other, frame = FILES[name], shown[name], find_frame(name)
    is_plane = (other.is_one_plane or frame is not None) and not file.hidden
    refused = file.refused
    if file.package and not HAS_PACKAGE:
        refused = refused or "imagecodecs"
    if not refused:
        plane = decode_plane(file.content, name, frame)
        assert plane.dtype.isnative and is_close(plane, file)
        # What Bio-Formats does not read, CellProfiler cannot measure otherwise.
        assert other.error or (is_plane and is_close(other.pixels, file))
        return
    with pytest.raises(ValueError, match=f"{name}: .*{refused}"):
        decode_plane(file.content, name, frame)
    # There is a reason: it is not one plane, or CellProfiler would see another.
    assert refused == "imagecodecs" or not (is_plane and is_close(other.pixels, file))
