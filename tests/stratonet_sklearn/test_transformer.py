"""StratoFeatureTransformer where a data scientist puts it.

Pipelines, searches, samplers, files and URLs.
"""

import functools
import http.server
import os
import pickle
import re
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC

from stratonet import StratoNet
from stratonet.extraction import extract
from stratonet.limits import PlateLimits
from stratonet.tables import feature_columns, read_features
from stratonet_sklearn import StratoFeatureTransformer
from stratonet_sklearn.datasets import read_plate

FIRST = "conv2_block1_out"
# Of one channel: means and standard deviations of 256 maps.
WIDTH = 512
CHANNELS = ["DNA", "Actin"]
LABELS = np.array([0, 1] * 4)
strato = functools.partial(StratoFeatureTransformer, taps=FIRST)


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    """Eight image sets of two channels, smooth (label 0) or speckled (1).

    Pixels, features, tables of files, URLs.
    """
    folder = tmp_path_factory.mktemp("plate")
    rng = np.random.default_rng(0)
    pixels = np.empty((8, 20, 24, 2), np.uint8)
    paths = {
        kind: pd.DataFrame("", list("abcdefgh"), CHANNELS)
        for kind in ("png", "tif", "jpg")
    }
    for row, column in np.ndindex(8, 2):
        for kind, table in paths.items():
            table.iloc[row, column] = str(folder / f"{row}_{column}.{kind}")
        png, tif, jpg = (table.iloc[row, column] for table in paths.values())
        grey = (
            rng.integers(0, 200, (20, 24))
            if LABELS[row]
            else np.linspace(0, 200, 24) * np.ones((20, 1))
        )
        Image.fromarray((grey + 10 * column + row).astype(np.uint8)).save(jpg)
        plane = np.asarray(
            Image.open(jpg)
        )  # JPEG loses, so the other files hold what it has kept
        Image.fromarray(plane).save(png)
        tifffile.imwrite(tif, plane)
        pixels[row, ..., column] = plane
    planes = np.moveaxis(pixels, -1, 1).reshape(16, 20, 24)
    features = StratoNet.load(taps=FIRST).features(planes).reshape(8, 2 * WIDTH)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        yield SimpleNamespace(pixels=pixels, features=features, url=url, **paths)
        server.shutdown()


ROUTES = {
    "array": lambda plate: plate.pixels,
    "float array in Fortran order": lambda plate: np.asfortranarray(
        plate.pixels, float
    ),
    "array-like": lambda plate: memoryview(plate.pixels),
    "list of arrays": lambda plate: list(plate.pixels.astype(np.uint16)),
    "DataFrame of PNG": lambda plate: plate.png,
    "DataFrame of TIFF": lambda plate: plate.tif,
    "DataFrame of JPEG": lambda plate: plate.jpg,
    "object array of paths": lambda plate: plate.tif.map(Path).to_numpy(),
    "str array": lambda plate: plate.png.to_numpy(str),
    "URL column": lambda plate: plate.png.assign(
        Actin=[f"{plate.url}{row}_1.png?v=1" for row in range(8)]
    ),
    "one channel: array": lambda plate: plate.pixels[..., 0],
    "one channel: 4-D array": lambda plate: plate.pixels[..., :1],
    "one channel: list of arrays": lambda plate: list(plate.pixels[..., 0]),
    "one channel: column of paths": lambda plate: plate.png[["DNA"]],
    "one channel: Series of paths": lambda plate: plate.png["DNA"],
    "one channel: list of paths": lambda plate: plate.png["DNA"].tolist(),
    "one channel: array of paths": lambda plate: plate.tif["DNA"].map(Path).to_numpy(),
    "list of rows of paths": lambda plate: plate.png.to_numpy().tolist(),
    "Arrow table": lambda plate: pa.table(dict(plate.png)),
    "nullable text": lambda plate: plate.png.convert_dtypes(),
    "masked array that hides nothing": lambda plate: np.ma.array(plate.pixels),
}


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_gives_the_networks_own_features(plate, route):
    X = ROUTES[route](plate)
    count = 1 if route.startswith("one channel") else 2
    pipeline = Pipeline([("features", strato()), ("svc", SVC())]).fit(X, LABELS)
    features = pipeline["features"].transform(X)
    assert_array_equal(features, plate.features[:, : count * WIDTH], strict=True)
    assert_array_equal(pipeline.predict(X), LABELS)
    is_named = isinstance(X, (pd.DataFrame, pd.Series, pa.Table))
    names = CHANNELS if is_named else ["Channel1", "Channel2"]
    assert (pipeline["features"].channels_, pipeline["features"].n_features_in_) == (
        names[:count],
        count,
    )


@pytest.mark.parametrize(
    "kind",
    [list, lambda images: np.array(images, object)],
    ids=["list", "object array"],
)
def test_images_of_different_sizes(plate, kind):
    images = [image[row:, : 24 - row, 0] for row, image in enumerate(plate.pixels)]
    pipeline = make_pipeline(strato(), SVC()).fit(kind(images), LABELS)
    assert_array_equal(
        pipeline[:-1].transform(kind(images)),
        StratoNet.load(taps=FIRST).features(iter(images)),
    )
    assert_array_equal(pipeline.predict(kind(images)), LABELS)


@pytest.mark.parametrize("taps", [None, ["high", "low", "medium"]])
def test_names_and_their_order(plate, taps):
    fitted = StratoFeatureTransformer(taps=taps).fit(plate.png)
    widths = {"Low": 512, "Medium": 1024, "High": 1024}
    of_taps = [
        f"StratoFeatures_{tap}{statistic}{number:04d}"
        for tap, width in widths.items()
        for statistic in ("", "SD")
        for number in range(width)
    ]
    names = [f"{name}_{channel}" for channel in CHANNELS for name in of_taps]
    assert_array_equal(
        fitted.get_feature_names_out(), np.array(names, object), strict=True
    )
    assert fitted.feature_set_id_ == StratoNet.load().feature_set_id


def test_channels_parameter_renames_and_refitting_forgets(plate):
    fitted = strato(channels=("A", "B")).fit(plate.png)
    assert fitted.channels_ == ["A", "B"]
    assert (
        fitted.get_feature_names_out(CHANNELS)[WIDTH]
        == "StratoFeatures_Conv2Block10000_B"
    )
    fitted.set_params(channels=None).fit(plate.pixels[..., :1])
    assert (fitted.channels_, fitted.n_features_in_) == (["Channel1"], 1)
    assert not hasattr(fitted, "feature_names_in_")


def test_set_output_pandas_keeps_the_index_and_names_the_columns(plate):
    frame = strato().set_output(transform="pandas").fit_transform(plate.png)
    assert list(frame.index) == list(plate.png.index)
    assert_array_equal(frame.filter(regex="_DNA$"), plate.features[:, :WIDTH])
    assert_array_equal(frame.filter(regex="_Actin$"), plate.features[:, WIDTH:])


def test_beside_other_columns_in_a_column_transformer(plate):
    table = plate.png.assign(dose=np.arange(8.0))
    both = make_column_transformer(
        (strato(channels=["A", "B"]), CHANNELS), ("passthrough", ["dose"])
    )
    assert_array_equal(
        both.fit_transform(table), np.column_stack([plate.features, table["dose"]])
    )
    names = both.get_feature_names_out()
    assert (
        names[0] == "stratofeaturetransformer__StratoFeatures_Conv2Block10000_A"
        and len(names) == 2 * WIDTH + 1
    )


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda X: X.rename(columns={"Actin": "Mito"}),
            "should match(.|\n)*unseen at fit time:\n- Mito",
        ),
        (lambda X: X[["Actin", "DNA"]], "must be in the same order"),
        (lambda X: X[["DNA"]], "now missing:\n- Actin"),
        (lambda X: X.assign(Mito=X["Actin"] + ".copy"), "unseen at fit time:\n- Mito"),
        (
            lambda X: X.to_numpy()[:, :1],
            "X has 1 features, but StratoFeatureTransformer is expecting 2 features",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_transform_refuses_other_channels_than_fit(plate, change, message):
    with pytest.raises(ValueError, match=message):
        strato().fit(plate.png).transform(change(plate.png))


def test_parameters_clone_and_not_fitted(plate):
    parameters = dict(
        weights="stratonet50", taps=["low"], channels=["A", "B"], verbose=0
    )
    copy = clone(StratoFeatureTransformer(**parameters).fit(plate.pixels))
    defaults = dict(
        provider="CPUExecutionProvider",
        recipe=None,
        grey_range="plane",
        pixel_size=None,
        on_error="raise",
        cache=None,
    )
    assert copy.get_params() == {**parameters, **defaults}
    for method in (copy.get_feature_names_out, copy.transform):
        with pytest.raises(NotFittedError):
            method(plate.pixels)
    assert_array_equal(
        copy.set_params(taps=FIRST).fit_transform(plate.pixels), plate.features
    )


@pytest.mark.parametrize(
    "parameters, error, message",
    [
        (
            {"taps": "top"},
            ValueError,
            r"taps .*low \(\w+\).*high \(\w+\), intensity\. Received: 'top'",
        ),
        ({"taps": []}, ValueError, r"taps .*low \(\w+\).*Received: \[\]"),
        ({"taps": 3}, ValueError, "'taps' parameter .*must be"),
        (
            {"channels": ["DNA"]},
            ValueError,
            r"channels names 1 channels: \['DNA'\]. Received images with 2",
        ),
        (
            {"channels": ["DNA", "Actin-1"]},
            ValueError,
            "letters, digits and underscores.*'Actin-1'",
        ),
        ({"channels": ["DNA", "DNA"]}, ValueError, "'DNA' more than once"),
        ({"channels": "DNA"}, ValueError, "'channels' parameter .*must be"),
        ({"recipe": "large"}, ValueError, "views and statistics.*Received: 'large'"),
        ({"recipe": 224}, ValueError, "'recipe' parameter .*must be"),
        (
            {"grey_range": {"Channel1": (0, 9)}},
            ValueError,
            "no grey range for Channel2. There are ranges for: Channel1",
        ),
        (
            {"grey_range": {"Channel1": (0, 9), "Channel2": (0, 9), "DNA": (0, 9)}},
            ValueError,
            "channels are Channel1, Channel2. Received in `grey_range`: DNA",
        ),
        (
            {"grey_range": {"Channel1": (0, 9), "Channel2": (9, 0)}},
            ValueError,
            r"the smaller first. Received for Channel2: \[9.0, 0.0\]",
        ),
        ({"grey_range": "plate"}, ValueError, "'plate' needs .* give their file"),
        ({"grey_range": "gone.json"}, FileNotFoundError, "gone.json"),
        (
            {"grey_range": PlateLimits({"P1": {}, "P2": {}})},
            ValueError,
            "limits of the plates P1, P2. Received: none",
        ),
        ({"grey_range": 3}, ValueError, "'grey_range' parameter .*must be"),
        ({"pixel_size": 0.65}, ValueError, "by recipes in micro.*tiles224-across2"),
        (
            {"recipe": "tiles16-2um/mean"},
            ValueError,
            "tiles16-2um/mean is in micrometres.*Give `pixel_size`",
        ),
        (
            {"recipe": "tiles16-2um/mean", "pixel_size": 650},
            ValueError,
            "0.001 to 100. Received: 650",
        ),
        ({"pixel_size": "0.65"}, ValueError, "'pixel_size' parameter .*must be"),
        ({"on_error": "skip"}, ValueError, "'on_error' parameter .*'skip'"),
        ({"weights": "resnet"}, FileNotFoundError, "'resnet'.*stratonet50"),
        ({"provider": "Abacus"}, ValueError, "CPUExecutionProvider.*'Abacus'"),
    ],
)
def test_fit_refuses_unsound_parameters(plate, parameters, error, message):
    with pytest.raises(error, match=message):
        StratoFeatureTransformer(**parameters).fit(plate.pixels)


LIMITS = {"DNA": (40, 120), "Actin": (20, 220)}


@pytest.mark.parametrize(
    "recipe", ["whole32/mean", "tiles16-2um/mean", "whole32+tiles16/mean+sd"]
)
@pytest.mark.parametrize("grey_range", ["plane", "given", "plate"])
def test_the_same_as_stratonet_extract(recipe, grey_range, plate, tmp_path):
    """For every recipe and grey range, and the brightness."""
    table = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": plate.tif.index})
    size = 0.25 if "um" in recipe else None
    table["Metadata_PixelSize"] = size
    for channel in CHANNELS:
        table[f"FileName_{channel}"] = plate.tif[channel].tolist()
    table.to_csv(tmp_path / "load_data.csv", index=False)
    ours = theirs = {"given": LIMITS}.get(grey_range, grey_range)
    options = {"taps": [FIRST, "intensity"], "recipe": recipe}
    out = tmp_path / "features"
    extract(
        tmp_path / "load_data.csv", out, grey_range=theirs, progress=False, **options
    )
    if grey_range == "plate":
        ours = out / "_grey_limits" / "P1.json"
    transformer = StratoFeatureTransformer(grey_range=ours, pixel_size=size, **options)
    frame = transformer.set_output(transform="pandas").fit_transform(plate.tif)
    expected = read_features(out)
    assert set(expected.Metadata_StratoFeatures) == {transformer.feature_set_id_}
    assert feature_columns(expected) == list(frame)
    np.testing.assert_allclose(
        frame, expected[feature_columns(expected)], rtol=1e-5, atol=1e-6
    )


def test_images_of_another_magnification(plate):
    """What was learnt at one is used at another: the feature set is the same."""
    made = strato(recipe="tiles16-2um/mean", pixel_size=0.25).fit(plate.pixels)
    coarse = plate.pixels.reshape(8, 10, 2, 12, 2, 2).mean(axis=(2, 4))
    first = made.transform(plate.pixels)
    for size in (0.5, np.float32(0.5)):
        second = made.set_params(pixel_size=size).transform(coarse)
        # They show the same, but for what binning takes away.
        smooth = LABELS == 0
        unlike = np.abs(first - second)[smooth].mean() / first[smooth].std()
        assert second.shape == first.shape and unlike < 0.2
    for size, told in ((None, "Give `pixel_size`"), (-1, "Received: -1")):
        with pytest.raises(ValueError, match=told):
            made.set_params(pixel_size=size).transform(coarse)


def test_limits_of_a_plate_are_read_when_it_is_fitted(plate, tmp_path):
    file = tmp_path / "limits.json"
    limits = PlateLimits({"P1": {**LIMITS, "Mito": (0, 1)}})
    file.write_text(limits.to_json())
    of_file = strato(grey_range=file).fit(plate.png)
    file.unlink()
    assert of_file.limits_ == LIMITS
    assert of_file.feature_set_id_.endswith("-grey-plate")
    features = pickle.loads(pickle.dumps(of_file)).transform(plate.png)
    of_object = clone(strato(grey_range=limits)).fit_transform(plate.png)
    given = strato(grey_range=LIMITS).fit(plate.png)
    assert_array_equal(features, of_object)
    assert_array_equal(features, given.transform(plate.png))
    assert given.feature_set_id_ != of_file.feature_set_id_
    with pytest.raises(AssertionError):
        assert_array_equal(features, plate.features)


NUMBERS = "an array .n, height, width.*"
NOT_IMAGES = {
    "table of numbers": (
        np.zeros((4, 5)),
        NUMBERS + r"ndarray of shape \(4, 5\) and dtype float64.*X\[np.newaxis\]",
    ),
    "one path": ("folder", NUMBERS + r"Received: str.*list of one: \['folder'\]"),
    "table of features": (
        pd.DataFrame(np.zeros((4, 5))),
        NUMBERS + "DataFrame of shape .4, 5.*no column of paths",
    ),
    "dict": ({"DNA": ["a.tif"]}, NUMBERS + r"dict.*pandas.DataFrame\(X\)"),
    "generator": ((image for image in np.zeros((2, 4, 4))), r"generator.*list\(X\)"),
    "batches": ([np.zeros((2, 4, 4, 1))] * 2, r"numpy.concatenate\(X\)"),
    "5-D array": (
        np.zeros((1, 2, 3, 4, 5)),
        NUMBERS + r"ndarray of shape \(1, 2, 3, 4, 5\).*one plane of each stack",
    ),
    "empty list": ([], "0 sample.*Received: list"),
    "no images": (np.zeros((0, 8, 8)), r"0 sample.*\(0, 8, 8\)"),
    "no columns": (np.empty((2, 0), object), r"0 feature\(s\)"),
    "no channels": (np.zeros((2, 8, 8, 0)), r"images with \[0\] channels"),
    "channels that differ": (
        [np.zeros((4, 4)), np.zeros((4, 4, 3))],
        r"images with \[1, 3\] channels",
    ),
    "None for a path": (np.array([["a.tif"], [None]]), "row 1, column 0: None"),
    "NaN for a path": (
        pd.DataFrame({"DNA": ["a.tif", "b.tif"], "Actin": ["a.tif", np.nan]}),
        "row 1, column 1 .Actin.: nan .1 of 4",
    ),
}


@pytest.mark.parametrize("X, message", NOT_IMAGES.values(), ids=NOT_IMAGES)
def test_what_are_not_images_is_refused(X, message):
    with pytest.raises(ValueError, match=message):
        strato().fit(X)


@pytest.mark.parametrize(
    "name, write, error, message",
    [
        ("gone.tif", lambda path: None, FileNotFoundError, "No such file"),
        (
            "half.png",
            lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
            ValueError,
            "cannot be read",
        ),
        ("colour.png", Image.new("RGB", (4, 4)).save, ValueError, "a colour image"),
        (
            "nan.tif",
            lambda path: tifffile.imwrite(path, np.full((4, 4), np.nan)),
            ValueError,
            "16 of 16 pixels NaN",
        ),
    ],
)
def test_a_bad_file_is_named(plate, tmp_path, name, write, error, message):
    write(tmp_path / name)
    X = plate.png.copy()
    X.loc["c", "Actin"] = str(tmp_path / name)
    with pytest.raises(error, match=message) as caught:
        strato().fit_transform(X)
    assert X.loc["c", "Actin"] in str(caught.value)


@pytest.mark.parametrize("kind, bad", [(np.asarray, np.nan), (list, np.inf)])
def test_a_bad_pixel_is_placed(plate, kind, bad):
    images = plate.pixels.astype(np.float32)
    images[2, 3, 4, 1] = bad
    with pytest.raises(
        ValueError, match="Image 2, channel 1: .*1 of 480 pixels NaN or infinite"
    ):
        strato().fit_transform(kind(images))


def test_grid_search_in_two_processes(plate):
    pipeline = Pipeline([("features", strato()), ("svc", SVC())])
    taps = {"features__taps": [FIRST, "conv2_block2_out"]}
    search = GridSearchCV(pipeline, taps, cv=2, n_jobs=2, error_score="raise").fit(
        plate.png, LABELS
    )
    assert search.cv_results_["mean_test_score"].tolist() == [1, 1]
    assert search.best_estimator_["features"].channels_ == CHANNELS


def test_cross_validation_with_groups(plate):
    leave_out = dict(
        groups=[0, 0, 1, 1, 2, 2, 3, 3], cv=LeaveOneGroupOut(), error_score="raise"
    )
    scores = cross_val_score(
        make_pipeline(strato(), SVC()), plate.tif, LABELS, **leave_out
    )
    assert scores.tolist() == [1, 1, 1, 1]


@pytest.mark.slow
def test_dumps_are_small_and_give_the_same_in_a_fresh_process(plate, tmp_path):
    fitted = strato().fit(plate.png)
    (tmp_path / "pickle").write_bytes(pickle.dumps(fitted))
    joblib.dump(fitted, tmp_path / "joblib")
    plate.png.to_pickle(tmp_path / "paths")
    script = (
        "import joblib, pandas as pd; fitted = [joblib.load('joblib'),"
        " pd.read_pickle('pickle')];joblib.dump([one.transform(pd.read_pickle('paths'))"
        " for one in fitted], 'features')"
    )
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=path, check=True)
    assert_array_equal(
        joblib.load(tmp_path / "features"), [plate.features, plate.features]
    )
    assert max((tmp_path / name).stat().st_size for name in ("joblib", "pickle")) < 5000


@pytest.mark.parametrize(
    "steps",
    [["balance", "features", "svc"], ["features", "balance", "svc"]],
    ids=" ".join,
)
@pytest.mark.parametrize("kind", [pd.DataFrame, np.asarray])
def test_resampling_before_and_after(plate, steps, kind):
    imblearn_pipeline = pytest.importorskip("imblearn.pipeline")
    from imblearn.under_sampling import RandomUnderSampler

    parts = {
        "balance": RandomUnderSampler(random_state=0),
        "features": strato(),
        "svc": SVC(),
    }
    pipeline = imblearn_pipeline.Pipeline([(step, parts[step]) for step in steps])
    rows = [0, 2, 4, 6, 1, 3]
    pipeline.fit(kind(plate.png.iloc[rows]), LABELS[rows])
    assert sorted(LABELS[rows][pipeline["balance"].sample_indices_]) == [0, 0, 1, 1]
    assert pipeline["svc"].shape_fit_ == (4, 2 * WIDTH)
    assert_array_equal(pipeline.predict(kind(plate.png)), LABELS)


@pytest.mark.parametrize("verbose", [False, True])
def test_progress_bar(plate, capfd, verbose):
    strato(verbose=verbose).fit_transform(plate.pixels)
    out, err = capfd.readouterr()
    assert not out and (re.search("16/16.*plane", err) if verbose else not err)


def test_few_planes_are_in_memory_at_once(tmp_path, monkeypatch, request):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    plane = np.random.default_rng(0).integers(0, 4096, (1024, 1024), np.uint16)
    tifffile.imwrite(tmp_path / "plane.tif", plane)
    X = np.full((24, 1), str(tmp_path / "plane.tif"), object)
    fitted = strato().fit(X)
    tracemalloc.start()
    request.addfinalizer(tracemalloc.stop)
    fitted.transform(X)
    assert (
        tracemalloc.get_traced_memory()[1] < 10 * plane.nbytes
    )  # a thread: the file, its pixels, these as float32


@pytest.mark.slow
def test_wells_of_a_real_plate(data, tmp_path):
    images, labels = read_plate(data / "bbbc013")
    images, labels = (table[labels["role"] != "trt"] for table in (images, labels))
    leave_row_out = dict(
        groups=labels["well"].str[0], cv=LeaveOneGroupOut(), error_score="raise"
    )
    scores = cross_val_score(
        make_pipeline(
            strato(recipe="whole112/mean", cache=tmp_path), SVC(kernel="linear")
        ),
        images,
        labels["role"],
        **leave_row_out,
    )
    assert len(scores) == 8 and scores.mean() >= 23 / 24
