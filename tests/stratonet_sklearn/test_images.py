"""Images that are missing, damaged or hidden, and weights that have changed."""

import pickle
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.testing import assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from stratonet import StratoNet
from stratonet.card_writer import write_card
from stratonet.files.urls import Unreachable
from stratonet.weights_file import WEIGHTS, read_card
from stratonet_sklearn import StratoFeatureTransformer

# The earliest layer: the network is cut behind it, a third of the time of low.
TAPS = "conv2_block1_out"
WIDTH = 512


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Six image sets of two channels."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    table = {"DNA": [], "Actin": []}
    for number in range(6):
        for channel, of_channel in table.items():
            path = folder / f"{channel}{number}.tif"
            tifffile.imwrite(path, rng.gamma(2, 300, (24, 24)).astype(np.uint16))
            of_channel.append(str(path))
    return pd.DataFrame(table, [f"s{number:02d}" for number in range(6)])


@pytest.fixture
def damaged(paths, tmp_path):
    """The same; three images cannot be measured, in three ways."""
    table = paths.copy()
    table.iloc[1, 0] = str(tmp_path / "gone.tif")
    (tmp_path / "half.tif").write_bytes(Path(paths.iloc[2, 1]).read_bytes()[:99])
    table.iloc[2, 1] = str(tmp_path / "half.tif")
    table.iloc[3, 1] = None
    return table


@pytest.mark.parametrize("nothing", ["", " ", None, np.nan, pd.NA])
def test_a_missing_path_is_named_by_row_and_channel(paths, nothing):
    table = paths.copy()
    table.iloc[3, 1] = nothing
    place = r"row 3 \(s03\), column 1 \(Actin\).*1 of 12 are missing"
    with pytest.raises(ValueError, match=place):
        StratoFeatureTransformer(taps=TAPS).fit(table)
    fitted = StratoFeatureTransformer(taps=TAPS).fit(paths)
    with pytest.raises(ValueError, match=place):
        fitted.transform(table)
    with pytest.raises(ValueError, match="row 3, column 1: "):
        fitted.transform(table.to_numpy(object))


@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_a_column_that_holds_no_paths_is_named(paths, on_error):
    transformer = StratoFeatureTransformer(taps=TAPS, on_error=on_error)
    with pytest.raises(ValueError, match=r"\(dose\): 0.5. Give the columns of paths"):
        transformer.fit(paths.assign(dose=0.5))


def test_what_cannot_be_measured_is_nan_and_told(paths, damaged):
    whole = StratoFeatureTransformer(taps=TAPS).fit_transform(paths)
    transformer = StratoFeatureTransformer(taps=TAPS, on_error="nan")
    transformer.set_output(transform="pandas")
    with pytest.warns(UserWarning, match="3 of 12 images") as heard:
        frame = transformer.fit_transform(damaged)
    told = str(heard[0].message)
    assert "row 1, DNA: " in told and "gone.tif" in told
    assert "row 2, Actin: " in told and "half.tif" in told
    assert "row 3, Actin: there is no path" in told
    expected = whole.reshape(6, 2, WIDTH).copy()
    expected[[1, 2, 3], [0, 1, 1]] = np.nan
    assert_array_equal(frame, expected.reshape(6, -1))
    assert list(frame.index) == list(damaged.index)


def test_features_and_reasons(paths, damaged):
    transformer = StratoFeatureTransformer(taps=TAPS).fit(paths)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features, reasons = transformer.transform_with_reasons(damaged)
    assert (reasons != "").nonzero()[0].tolist() == [1, 2, 3]
    is_missing = np.isnan(features).reshape(6, 2, WIDTH).all(axis=2)
    assert_array_equal(is_missing, reasons != "")
    # As it stands on the page.
    whole = (reasons == "").all(axis=1)
    labels = np.array([0, 1, 0, 1, 0, 1])
    SVC().fit(features[whole], labels[whole])


def test_only_ten_are_told(paths, tmp_path):
    gone = [str(tmp_path / f"{number}.tif") for number in range(13)]
    transformer = StratoFeatureTransformer(taps=TAPS, on_error="nan").fit(gone)
    with pytest.warns(UserWarning, match="(?s)13 of 13.*9.tif.*and 3 more") as heard:
        transformer.transform(gone)
    assert str(heard[0].message).count("row ") == 10


def test_arrays_with_nan_and_masks():
    images = np.random.default_rng(0).gamma(2, 300, (4, 16, 16, 2))
    known = StratoFeatureTransformer(taps=TAPS).fit_transform(images)
    bad = images.copy()
    bad[1, 3, 4, 1] = np.nan
    masked = np.ma.masked_invalid(bad)
    transformer = StratoFeatureTransformer(taps=TAPS, on_error="nan").fit(images)
    for X in (bad, list(bad), masked, list(masked)):
        features, reasons = transformer.transform_with_reasons(X)
        assert (reasons != "").nonzero()[0].tolist() == [1]
        assert_array_equal(np.delete(features, 1, 0), np.delete(known, 1, 0))
        assert_array_equal(features[1, :WIDTH], known[1, :WIDTH])
        assert reasons[1, 1].startswith("Image 1, channel 1: ")


@pytest.mark.parametrize("kind", [lambda X: X, list])
def test_masks_that_hide_something_are_refused(kind):
    images = np.random.default_rng(0).gamma(2, 300, (3, 16, 16))
    masked = np.ma.array(images, mask=images < 0)
    masked[2, :2, :2] = np.ma.masked
    message = "Image 2, channel 0: .*Received: 4 of 256 pixels masked"
    with pytest.raises(ValueError, match=message):
        StratoFeatureTransformer(taps=TAPS).fit_transform(kind(masked))
    with pytest.raises(ValueError, match="4 of 256 pixels masked"):
        StratoNet.load(taps=TAPS).features(np.ma.array(images[0], mask=masked.mask[2]))


@pytest.mark.slow
def test_a_server_that_cannot_be_reached_is_no_missing_image(paths):
    table = paths.assign(Actin="http://127.0.0.1:9/a.tif")
    transformer = StratoFeatureTransformer(taps=TAPS, on_error="nan").fit(table)
    with pytest.raises(Unreachable):
        transformer.transform(table)


def test_in_a_pipeline_with_an_imputer(damaged):
    labels = np.array([0, 1, 0, 1, 0, 1])
    pipeline = make_pipeline(
        StratoFeatureTransformer(taps=TAPS, on_error="nan"), SimpleImputer(), SVC()
    )
    with pytest.warns(UserWarning, match="3 of 12 images"):
        pipeline.fit(damaged, labels)
    with pytest.warns(UserWarning, match="could not be measured"):
        assert len(pipeline.predict(damaged)) == 6


def test_one_file_in_two_channels_is_refused(paths):
    table = paths.copy()
    table.iloc[3, 1] = table.iloc[3, 0]
    transformer = StratoFeatureTransformer(taps=TAPS, on_error="nan")
    for given, row in ((table, r"row 3 \(s03\)"), (table.to_numpy(), "row 3")):
        with pytest.raises(ValueError, match=rf"{row}\. Leave one of them out"):
            transformer.fit(given)
    # Of one channel, two image sets may be one image: resampling repeats rows.
    assert transformer.fit_transform(table.iloc[[0, 0]]).shape[0] == 2


def test_a_series_has_the_name_of_its_channel(paths):
    table = paths.assign(dose=1.0)
    transformer = make_column_transformer(
        (StratoFeatureTransformer(taps=TAPS), "DNA"), ("passthrough", ["dose"])
    )
    assert transformer.fit_transform(table).shape == (6, WIDTH + 1)
    fitted = StratoFeatureTransformer(taps=TAPS).fit(paths["DNA"])
    assert fitted.channels_ == ["DNA"]
    with pytest.raises(ValueError, match="unseen at fit time:\n- Actin"):
        fitted.transform(paths["Actin"])


def write_other_weights(path, version):
    """The weights that ship, under another version: another feature set."""
    card = replace(read_card("stratonet50"), version=version)
    write_card(WEIGHTS / "stratonet50.onnx", card, path)


def test_other_weights_behind_the_path_are_refused(paths, tmp_path):
    shutil.copy(WEIGHTS / "stratonet50.onnx", tmp_path / "w.onnx")
    fitted = StratoFeatureTransformer(taps=TAPS, weights=tmp_path / "w.onnx").fit(paths)
    known = fitted.transform(paths)
    dumped = pickle.dumps(fitted)
    write_other_weights(tmp_path / "w.onnx", "9.9.9")
    for one in (fitted, pickle.loads(dumped)):
        with pytest.raises(ValueError, match="fitted with the weights of .*-9.9.9-"):
            one.transform(paths)
        with pytest.raises(ValueError, match="fitted with the weights of"):
            one.get_feature_names_out()
        with pytest.raises(ValueError, match="fitted with the weights of"):
            one.transform_with_reasons(paths)
    # The same file, put back or moved elsewhere, is the same weights.
    shutil.copy(WEIGHTS / "stratonet50.onnx", tmp_path / "w.onnx")
    assert_array_equal(pickle.loads(dumped).transform(paths), known)
    moved = pickle.loads(dumped).set_params(weights="stratonet50")
    assert_array_equal(moved.transform(paths), known)
    (tmp_path / "w.onnx").unlink()
    with pytest.raises(FileNotFoundError, match="w.onnx"):
        pickle.loads(dumped).transform(paths)
