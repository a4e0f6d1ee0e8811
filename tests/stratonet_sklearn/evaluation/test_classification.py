import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix
from sklearn.utils.class_weight import compute_sample_weight

from stratonet_sklearn import evaluate
from stratonet_sklearn.evaluation.classification import CLASSIFIERS
from stratonet_sklearn.evaluation.scores import METRICS


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Small data.

    Starting processes, and growing 200 trees, would take longer than all else.
    """
    with joblib.parallel_config("sequential"), pytest.MonkeyPatch.context() as patch:
        patch.setitem(CLASSIFIERS, "RF", RandomForestClassifier(50, random_state=0))
        yield


@pytest.fixture(scope="module")
def wells():
    """120 wells of two sites on 6 plates: 3 classes, of which c is rare."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"well": np.repeat(np.arange(120), 2)})
    frame["plate"] = frame.well % 6
    frame["label"] = np.repeat(
        rng.permutation(np.repeat(["a", "b", "c"], [60, 45, 15])), 2
    )
    return frame


@pytest.fixture(scope="module")
def sets(wells):
    """Features that tell all, half and nothing."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(len(wells), 12))
    told = np.zeros_like(noise)
    told[:, :3] = wells.label.to_numpy()[:, None] == list("abc")
    return {
        "all": 20 * told + noise,
        "half": 1.3 * told + noise,
        "nothing": rng.normal(size=noise.shape),
    }


@pytest.fixture(scope="module")
def found(wells, sets):
    return evaluate(sets, wells.label, groups=wells.well, wells=wells.well, n_folds=5)


def index_scores(found):
    return found.scores().set_index(
        ["features", "classifier", "test", "metric", "average"]
    )


@pytest.fixture(scope="module")
def scores(found):
    """Drawn once: intervals take 2,000 draws."""
    return index_scores(found)


def value(scores, features, classifier, test="as found", metric="accuracy", average=""):
    return scores.loc[(features, classifier, test, metric, average)]


@pytest.mark.slow
@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_perfect_features(found, scores, classifier):
    for test in ("as found", "balanced"):
        for metric in METRICS[1:]:
            assert tuple(value(scores, "all", classifier, test, metric, "macro")) == (
                1,
                1,
                1,
            )
    assert (
        found.confusion("all", classifier).to_numpy() == np.diag([120, 90, 30])
    ).all()


@pytest.mark.slow
@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_random_features_are_at_chance(scores, classifier):
    # 120 wells of 3 classes: the share found by chance has a standard error of 0.043.
    assert value(scores, "nothing", classifier, "balanced").value == pytest.approx(
        1 / 3, abs=0.13
    )
    low, high = value(scores, "nothing", classifier, "balanced")[["low", "high"]]
    assert low < 1 / 3 < high


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("features", ["half", "nothing"])
@pytest.mark.parametrize("test", ["as found", "balanced"])
def test_scores_are_those_of_scikit_learn(found, scores, features, classifier, test):
    predicted = found.predicted[features, classifier].astype(str)
    weights = (
        compute_sample_weight("balanced", found.labels) if test == "balanced" else None
    )
    report = classification_report(
        found.labels,
        predicted,
        sample_weight=weights,
        output_dict=True,
        zero_division=0,
    )
    for average in ("macro", "weighted"):
        for metric, name in zip(METRICS[1:], ("precision", "recall", "f1-score")):
            expected = report[f"{average} avg"][name]
            assert value(
                scores, features, classifier, test, metric, average
            ).value == pytest.approx(expected)
    accuracy = accuracy_score(found.labels, predicted, sample_weight=weights)
    assert value(scores, features, classifier, test).value == pytest.approx(accuracy)
    assert np.array_equal(
        found.confusion(features, classifier), confusion_matrix(found.labels, predicted)
    )


@pytest.mark.slow
def test_intervals_are_those_of_drawn_wells(found, scores, wells):
    """Against a bootstrap of whole wells, within classes, one draw at a time."""
    hits = (found.predicted["half", "SVM"] == found.labels).astype(float)
    of_wells = (
        pd.DataFrame({"well": wells.well, "label": wells.label, "hit": hits})
        .groupby("well")
        .agg({"label": "first", "hit": "mean"})
    )
    rng = np.random.default_rng(5)
    drawn = [
        np.concatenate(
            [
                rng.choice(group.hit, len(group))
                for _, group in of_wells.groupby("label")
            ]
        ).mean()
        for _ in range(3000)
    ]
    expected = np.quantile(drawn, (0.025, 0.975))
    assert value(scores, "half", "SVM")[["low", "high"]].tolist() == pytest.approx(
        expected, abs=0.012
    )


def test_differences_are_paired(found, scores):
    table = found.differences("accuracy", "", "as found").set_index(
        ["classifier", "first", "second"]
    )
    row = table.loc[("RF", "half", "nothing")]
    values = [value(scores, name, "RF").value for name in ("half", "nothing")]
    assert row.value == pytest.approx(values[0] - values[1])
    assert 0 < row.low < row.value < row.high
    assert len(table) == 9


@pytest.mark.slow
def test_features_that_are_the_same_do_not_differ(wells, sets):
    found = evaluate(
        {"one": sets["half"], "again": sets["half"]},
        wells.label,
        groups=wells.well,
        n_folds=3,
    )
    assert (found.differences()[["value", "low", "high"]] == 0).all(axis=None)


def test_folds_are_the_same_for_all_and_hold_wells_together(found, wells):
    assert (pd.Series(found.folds).groupby(wells.well).nunique() == 1).all()
    assert set(found.folds) == set(range(5))
    counts = found.by_fold().groupby(["features", "classifier"]).fold.nunique()
    assert (counts == 5).all()


@pytest.mark.slow
def test_features_of_the_well_itself_tell_nothing(wells, rng):
    """Each well has a mark of its own, the same in both sites.

    What leaks where sites are divided.
    """
    marks = rng.normal(size=(120, 12))[wells.well] + 0.01 * rng.normal(size=(240, 12))
    apart = evaluate(
        marks,
        wells.label,
        groups=wells.well,
        wells=wells.well,
        n_folds=5,
        classifiers=["RF"],
    )
    balanced = value(index_scores(apart), "features", "RF", "balanced")
    assert balanced.low < 1 / 3 < balanced.high
    divided = evaluate(
        marks, wells.label, groups=np.arange(240), n_folds=5, classifiers=["RF"]
    )
    assert value(index_scores(divided), "features", "RF").value > 0.8
    with pytest.raises(ValueError, match="would leak"):
        evaluate(marks, wells.label, groups=np.arange(240), wells=wells.well)


def test_the_same_features_in_two_groups_are_refused(wells, sets):
    doubled = sets["half"].copy()
    doubled[7] = doubled[100]
    with pytest.raises(
        ValueError, match=r"half: .* would leak: row (7|100) .* occurs again"
    ):
        evaluate({"half": doubled}, wells.label, groups=wells.well)
    with pytest.raises(
        ValueError,
        match=r"half: .* leak: a row of well (3|50) occurs again in another group",
    ):
        evaluate({"half": doubled}, wells.label, groups=wells.well, wells=wells.well)
    same_well = sets["half"].copy()
    same_well[7] = same_well[6]
    evaluate(
        {"half": same_well},
        wells.label,
        groups=wells.well,
        classifiers=["SVM"],
        n_folds=2,
    )


def test_classes_left_out(wells, sets):
    found = evaluate(
        sets,
        wells.label,
        groups=wells.well,
        leave_out=["c"],
        classifiers=["SVM"],
        n_folds=3,
    )
    assert found.classes == ["a", "b"]
    assert np.array_equal(found.rows, np.flatnonzero(wells.label != "c"))
    assert (
        found.predicted["all", "SVM"].tolist()
        == wells.label[wells.label != "c"].tolist()
    )


@pytest.mark.parametrize("missing", [None, np.nan, ""])
def test_rows_without_a_label_are_left_out_and_not_counted(wells, sets, missing):
    # They need no features either.
    features = sets["half"].copy()
    features[:6] = np.nan
    labels = wells.label.where(wells.index >= 6, missing)
    options = {"classifiers": ["SVM"], "n_folds": 3}
    found = evaluate(features, labels, groups=wells.well, **options)
    alone = evaluate(features[6:], labels[6:], groups=wells.well[6:], **options)
    assert found.rows.tolist() == list(range(6, 240))
    assert found.labels.tolist() == wells.label[6:].tolist()
    pd.testing.assert_frame_equal(found.scores(), alone.scores())


def test_importance_names_the_features_that_tell(wells, sets):
    frame = pd.DataFrame(
        sets["all"], columns=[f"feature {number}" for number in range(12)]
    )
    found = evaluate(frame, wells.label, groups=wells.well, n_folds=3)
    assert set(found.importance) == {("features", "SVM"), ("features", "RF")}
    for importance in found.importance.values():
        assert importance.sum() == pytest.approx(1)
        assert set(importance.nlargest(3).index) == {
            "feature 0",
            "feature 1",
            "feature 2",
        }


def test_shares_of_votes(found):
    shares = found.probabilities["half"]
    assert shares.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(
        np.array(found.classes)[shares.argmax(axis=1)], found.predicted["half", "RF"]
    )


@pytest.mark.slow
def test_the_same_seed_finds_the_same(wells, sets):
    first, again = (
        evaluate(sets["half"], wells.label, groups=wells.well, n_folds=3).scores()
        for _ in range(2)
    )
    pd.testing.assert_frame_equal(first, again)


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        (
            np.zeros((3, 12)),
            {},
            "`labels` has 240 rows, and `features` has 3",
        ),
        (np.zeros(240), {}, r"Received: ndarray of shape \(240,\)"),
        (np.full((240, 2), np.nan), {}, "240 rows and 2 features have NaN"),
        (
            np.zeros((240, 2)),
            {"classifiers": ["KNN"]},
            "Classifiers are SVM, RF, MLP. Received: KNN",
        ),
        (
            pd.DataFrame({"mean": 1.0, "gene": ["KRAS"] * 240}),
            {},
            "features: The column gene is not a feature.*'KRAS'",
        ),
        (
            {"wide": pd.DataFrame({"a": pd.array([None] * 240, "Float64")})},
            {},
            "wide: 240 rows and 1 features have NaN",
        ),
        (
            np.ma.masked_equal(np.tile([0.0, 1.0], (240, 1)), 0),
            {},
            "240 rows and 1 features have NaN",
        ),
        (np.zeros((240, 2)), {"leave_out": ["d"]}, "no class d .*classes: a, b, c"),
        ({}, {}, "no feature table"),
    ],
)
def test_what_cannot_be_evaluated(wells, features, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(features, wells.label, groups=wells.well, **options)


SVM = {"classifiers": "SVM", "n_folds": 3}


@pytest.mark.parametrize("kind", ["numpy_nullable", "pyarrow"])
def test_frames_of_every_make_give_the_same(wells, sets, kind):
    frame = pd.DataFrame(sets["half"]).add_prefix("f")
    known = evaluate(frame, wells.label, groups=wells.well, **SVM)
    others = wells.convert_dtypes(dtype_backend=kind)
    of_kind = evaluate(
        frame.convert_dtypes(dtype_backend=kind),
        others[["label"]],
        groups=others[["well"]],
        wells=others.well,
        **SVM,
    )
    assert (
        of_kind.predicted["features", "SVM"] == known.predicted["features", "SVM"]
    ).all()
    assert of_kind.folds.tolist() == known.folds.tolist()
    assert list(of_kind.importance["features", "SVM"].index) == list(frame)


def test_groups_that_are_missing_are_counted(wells, sets):
    groups = wells.well.where(wells.well > 2).tolist()
    with pytest.raises(ValueError, match="6 of 240 rows have no group"):
        evaluate(sets["half"], wells.label, groups=groups)
    with pytest.raises(ValueError, match="6 of 240 rows have no well"):
        evaluate(sets["half"], wells.label, groups=wells.plate, wells=groups)
    # Where there is no label, no group is needed.
    labels = wells.label.where(wells.well > 2)
    found = evaluate(sets["half"], labels, groups=groups, **SVM)
    assert len(found.labels) == 234


@pytest.mark.parametrize(
    ("labels", "leave_out", "classes"),
    [
        ([0, 1, 2], [2], ["0", "1"]),
        ([0, 1, 2], np.array([2, 1])[:1], ["0", "1"]),
        ([0, 1, 2], 2.0, ["0", "1"]),
        ([0.5, 1.0, 2.0], [1], ["0.5", "2"]),
        (["DMSO", "x", "y"], "DMSO", ["x", "y"]),
        (["DMSO", "x", "y"], pd.Series(["x"]), ["DMSO", "y"]),
        ([True, False, "?"], [True], ["?", "False"]),
    ],
)
def test_what_is_left_out_is_compared_as_what_it_is(
    labels, leave_out, classes, wells, sets
):
    of_rows = np.array(labels, object)[wells.well % 3]
    found = evaluate(
        sets["half"], of_rows, groups=wells.well, leave_out=leave_out, **SVM
    )
    assert found.classes == classes
    assert len(found.labels) == 160


def test_a_misspelt_class_is_told(wells, sets):
    with pytest.raises(ValueError, match="no class DMS0 .*Did you mean DMSO?"):
        evaluate(
            sets["half"],
            wells.label.replace("a", "DMSO"),
            groups=wells.well,
            leave_out="DMS0",
        )


def test_the_bar_ends_at_100_percent(wells, sets, capsys):
    given = {"classifiers": "SVM", "groups": wells.well, "n_folds": 3, "progress": True}
    evaluate(sets["all"], wells.label, **given)
    assert "100%" in capsys.readouterr().err.rpartition("\r")[2]
