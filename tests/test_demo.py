"""The parts of the demo; tests/test_cli.py runs it whole."""

import numpy as np
import pandas as pd
import pytest
import tifffile

pytest.importorskip("sklearn", reason="the demo needs scikit-learn")

from stratonet_demo import (  # noqa: E402
    SHIPPED_PIPELINE,
    _draw_wells,
    compare_features,
    draw_plate,
    set_setting,
)


def test_channels_are_set_in_the_shipped_pipeline():
    text = SHIPPED_PIPELINE.read_text()
    changed = set_setting(text, "Select images to measure", r"A\1, B")
    assert "    Select images to measure:A\\1, B\n" in changed
    assert len(changed.splitlines()) == len(text.splitlines())


@pytest.mark.parametrize("name, times", [("Select pictures", 0), ("Twice", 2)])
def test_setting_that_is_not_there_once_is_refused(name, times):
    text = "Module:\n    Twice:a\n    Twice:b\n"
    with pytest.raises(ValueError, match=f"{name}.*Received: {times} times"):
        set_setting(text, name, "x")


def test_features_that_differ_are_refused():
    features = pd.DataFrame({"StratoFeatures_Low0000_DNA": [0.5, 2.0]})
    with pytest.raises(RuntimeError, match="differ by up to 1.0e-01"):
        compare_features(features + np.array([[0], [0.1]]), features)
    with pytest.raises(RuntimeError, match="named their features differently"):
        compare_features(features.add_suffix("x"), features)
    assert compare_features(features + 1e-7, features) == pytest.approx(5e-8, rel=0.01)


@pytest.fixture
def labels():
    """Two rows of a plate of 1,536 wells that begin with the same letter."""
    wells = ["A01", "A02", "AA01", "AA02"]
    return pd.DataFrame({"well": wells, "role": ["negcon", "poscon"] * 2})


def test_rows_a_and_aa_are_two(labels):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    _draw_wells(axes, labels, np.array([-1.0, 1, -2, 2]))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["A", "AA"]
    assert axes.images[0].get_array().tolist() == [[-1, 1], [-2, 2]]
    assert [text.get_text() for text in axes.texts] == ["−", "+", "−", "+"]


def test_a_picture_leaves_the_display_of_matplotlib_alone(labels, tmp_path, rng):
    import matplotlib

    backend = matplotlib.rcParams._get("backend")
    path = tmp_path / "plane.tif"
    tifffile.imwrite(path, rng.integers(0, 4096, (40, 40), dtype=np.uint16))
    images = pd.DataFrame({"DNA": [str(path)] * 4})
    features = pd.DataFrame(rng.normal(size=(4, 5)))
    draw_plate(images, labels, features, np.arange(4.0) - 2, tmp_path / "plate.png")
    assert (tmp_path / "plate.png").stat().st_size > 20_000
    assert matplotlib.rcParams._get("backend") is backend
