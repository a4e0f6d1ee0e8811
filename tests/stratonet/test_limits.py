import pytest

from stratonet import PlateLimits
from stratonet.limits import check_limits

pytestmark = pytest.mark.stock_cellprofiler

LIMITS = PlateLimits({"P1": {"DNA": (1.0, 2.0)}, "P2": {"DNA": (3.0, 4.0)}})


def test_there_and_back(tmp_path):
    path = tmp_path / "limits.json"
    path.write_text(LIMITS.to_json())
    assert PlateLimits.read(path) == LIMITS


def test_choose():
    assert LIMITS.choose("P2") == {"DNA": (3.0, 4.0)}
    for plate in (None, "P3"):
        with pytest.raises(ValueError, match="the plates P1, P2. Received: "):
            LIMITS.choose(plate)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"grey_limits": []}',
        '{"grey_limits": {"P1": {"DNA": [1]}}}',
        '{"grey_limits": {"P1": {"DNA": [2, 1]}}}',
        '{"grey_limits": {"P1": {"DNA": [NaN, 1]}}}',
        '{"grey_limits": {"P1": {"DNA": ["a", 1]}}}',
        '{"grey_limits": {"P1": {"DNA": 5}}}',
    ],
)
def test_other_files_are_refused_by_name(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="other.json: "):
        PlateLimits.read(path)


def test_binary_and_missing_files(tmp_path):
    path = tmp_path / "image.json"
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ValueError, match=r"image.json is not a text file"):
        PlateLimits.read(path)
    with pytest.raises(FileNotFoundError):
        PlateLimits.read(tmp_path / "nowhere.json")


def test_limits_may_be_the_same():
    assert check_limits("DNA", (5, 5)) == (5.0, 5.0)
