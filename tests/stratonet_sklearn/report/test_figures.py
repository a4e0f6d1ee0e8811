"""The report's figures.

What is drawn is what the numbers say, and all of it can be read.
"""

import joblib
import numpy as np
import pandas as pd
import pytest
from drawings import assert_readable, tick_labels
from matplotlib.collections import PathCollection
from sklearn.metrics import confusion_matrix

from stratonet_sklearn import evaluate
from stratonet_sklearn.report import figures

METRICS = ["accuracy", "precision", "recall", "F1"]
LONG = [
    f"StratoNet50 of low and high taps, version {number} of 2024" for number in range(6)
]


@pytest.fixture(scope="module", params=["small", "large"])
def found(request):
    """3 classes by 2 sets of features, and 20 classes by 6, both with long names."""
    classes, sets = {
        "small": (["DMSO", "$5", "taxol"], ["a", "b"]),
        "large": (range(20), LONG),
    }[request.param]
    classes = [
        f"inhibitor of the polymerization of {one}" if request.param == "large" else one
        for one in classes
    ]
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(len(classes)), 4 + 2 * (np.arange(len(classes)) % 3))
    labels = np.array(classes)[numbers]
    names = [
        f"Cells_Texture_InverseDifferenceMoment_CorrDNA_{number}_00_256"
        for number in range(12)
    ]
    features = {
        one: pd.DataFrame(
            (number + 1) * np.eye(len(classes), 12)[numbers]
            + rng.normal(size=(len(labels), 12))
        )
        for number, one in enumerate(sets)
    }
    features = {one: frame.set_axis(names, axis=1) for one, frame in features.items()}
    with joblib.parallel_config("sequential"):
        options = {"small": {}, "large": {"classifiers": ["SVM", "RF"]}}[request.param]
        return evaluate(
            features, labels, groups=np.arange(len(labels)), n_folds=3, **options
        )


def names_of(found):
    return (list(dict.fromkeys(names)) for names in zip(*found.predicted))


def test_bars_are_the_scores(found):
    scores = found.scores()
    figure = figures.bars(scores, 1 / len(found.classes))
    assert_readable(figure)
    sets, classifiers = names_of(found)
    table = (
        scores[scores.average != "weighted"]
        .set_index(["test", "classifier", "features", "metric"])
        .sort_index()
    )
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert len(panels) == 2 * len(classifiers)
    for test in ("as found", "balanced"):
        for classifier in classifiers:
            axes = panels[f"{classifier}, {test}"]
            # In matplotlib's order: containers are the bars of a set, then its intervals.
            for features, drawn, intervals in zip(
                sets, axes.containers[::2], axes.containers[1::2]
            ):
                rows = table.loc[(test, classifier, features)].loc[METRICS]
                assert [bar.get_height() for bar in drawn] == rows.value.tolist()
                ends = [line[:, 1] for line in intervals.lines[2][0].get_segments()]
                assert np.array(ends) == pytest.approx(rows[["low", "high"]].to_numpy())
            assert axes.get_lines()[-1].get_ydata() == pytest.approx(
                [1 / len(found.classes)] * 2
            )
    assert all(
        tick_labels(axes.xaxis) == METRICS for axes in figure.axes[len(classifiers) :]
    )
    assert len(figure.legends[0].get_texts()) == len(sets) + 1
    hatches = {bars[0].get_hatch() for bars in axes.containers[::2]}
    assert len(hatches) == len(sets)


def test_a_value_outside_of_its_interval(found):
    scores = found.scores()
    scores["low"] = scores.value + 0.01
    figures.bars(scores, 0.1).canvas.draw()


def test_differences_are_drawn_with_their_intervals(found):
    frame = found.differences()
    sets, classifiers = names_of(found)
    figure = figures.differences(frame)
    assert_readable(figure)
    for axes, classifier in zip(figure.axes, classifiers):
        rows = frame[frame.classifier == classifier]
        intervals, points = axes.get_lines()[:-1:2], axes.get_lines()[1:-1:2]
        assert [list(line.get_xdata()) for line in intervals] == rows[
            ["low", "high"]
        ].to_numpy().tolist()
        assert [point.get_xdata()[0] for point in points] == rows.value.tolist()
        assert [line.get_ydata()[0] for line in intervals] == list(range(len(rows)))
        assert list(axes.get_lines()[-1].get_xdata()) == [0, 0]
    assert (
        f"{((frame.low > 0) | (frame.high < 0)).sum()} of {len(frame)}"
        in figure._suptitle.get_text()
    )
    assert tick_labels(figure.axes[0].yaxis)[0].count("\n") == 1


def test_differences_say_which_is_better():
    rows = [
        ("SVM", "a", "b", 0.2, 0.1, 0.3),
        ("SVM", "a", "c", -0.2, -0.3, -0.1),
        ("SVM", "b", "c", 0.1, -0.1, 0.3),
    ]
    figure = figures.differences(
        pd.DataFrame(
            rows, columns=["classifier", "first", "second", "value", "low", "high"]
        )
    )
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["a is better", "c is better", "no difference shown"]
    assert tick_labels(figure.axes[0].yaxis) == [
        "a\nminus b",
        "a\nminus c",
        "b\nminus c",
    ]
    assert "2 of 3" in figure._suptitle.get_text()


def test_confusions_are_shares_of_true_classes(found):
    figure = figures.confusions(found, "SVM")
    assert_readable(figure)
    sets, _ = names_of(found)
    panels = [axes for axes in figure.axes if axes.get_title()]
    counts = pd.Series(found.labels).value_counts()[found.classes]
    for axes, features in zip(panels, sets):
        expected = confusion_matrix(
            found.labels, found.predicted[features, "SVM"], normalize="true"
        )
        np.testing.assert_allclose(axes.images[0].get_array(), expected)
        if axes.texts:
            assert [text.get_text() for text in axes.texts] == [
                f"{100 * share:.0f}" for share in expected.ravel()
            ]
    assert len(panels) == len(sets)
    # Classes are named at the left and below.
    assert [label.split("(")[-1] for label in tick_labels(panels[0].yaxis)] == [
        f"{count})" for count in counts
    ]
    assert len(set(tick_labels(panels[-1].xaxis))) == len(found.classes)
    # The numbers must fit their cells.
    cell = panels[0].bbox.width / len(found.classes)
    assert all(text.get_window_extent().width < cell for text in panels[0].texts)


def test_importance_shows_the_most(found):
    figure = figures.importance(found.importance, n=5)
    sets, _ = names_of(found)
    assert_readable(figure)
    for axes, (features, classifier) in zip(
        figure.axes, [(s, c) for s in sets for c in ("SVM", "RF")]
    ):
        weights = found.importance[features, classifier].sort_values(ascending=False)
        assert [bar.get_width() for bar in axes.patches] == weights.iloc[:5].tolist()
        number = [label.split("_")[-3] for label in tick_labels(axes.yaxis)]
        assert number == [name.split("_")[-3] for name in weights.index[:5]]
        assert (
            f"{classifier}: 5 of 12 hold {weights.iloc[:5].sum():.1%}"
            in axes.get_title(loc="right")
        )


@pytest.mark.parametrize(("n_sets", "n_parts"), [(1, 3), (6, 40)])
def test_parts_that_do_not_fit_are_drawn_as_one(n_sets, n_parts):
    rng = np.random.default_rng(0)
    rows = [
        (s, c, f"Cytoplasm RadialDistribution of {n}")
        for s in LONG[:n_sets]
        for c in "AB"
        for n in range(n_parts)
    ]
    frame = pd.DataFrame(rows, columns=["features", "classifier", "part"])
    frame["share"] = rng.dirichlet(np.ones(n_parts), 2 * n_sets).ravel()
    figure = figures.parts(frame)
    assert_readable(figure)
    for features, axes in zip(LONG[:n_sets], figure.axes):
        table = frame[frame.features == features].pivot(
            index="part", columns="classifier", values="share"
        )
        table = table.loc[table.sum(axis=1).sort_values(ascending=False).index]
        for bars, classifier in zip(axes.containers, "AB"):
            widths = [bar.get_width() for bar in bars]
            assert len(widths) == min(n_parts, 20) and sum(widths) == pytest.approx(1)
            assert widths[: min(n_parts, 19)] == pytest.approx(
                table[classifier].iloc[: min(n_parts, 19)]
            )
        if n_parts > 20:
            assert tick_labels(axes.yaxis)[-1] == "21 others"


def test_variance_of_each_component_and_together():
    variances = {
        name: np.random.default_rng(n).dirichlet(np.ones(8 * (n + 1)))
        for n, name in enumerate(LONG)
    }
    figure = figures.variance(variances)
    assert_readable(figure)
    each, together = figure.axes
    for ratio, one, both in zip(
        variances.values(), each.get_lines(), together.get_lines()
    ):
        assert one.get_xdata()[0] == 1 and np.array_equal(one.get_ydata(), ratio)
        assert both.get_ydata() == pytest.approx(
            [ratio[: n + 1].sum() for n in range(len(ratio))]
        )
    assert (
        len({(line.get_color(), line.get_marker()) for line in each.get_lines()}) == 6
    )
    held = {name: ratio[:8].sum() for name, ratio in variances.items()}
    assert f"8 components hold {min(held.values()):.0%}" in figure._suptitle.get_text()


def test_correlation_is_put_in_order():
    """Two groups of features, shuffled.

    In the figure each lies together again, and dots stay with their pairs.
    """
    rng = np.random.default_rng(0)
    group = rng.permutation(50) % 2
    names = [
        [f"{kind}_of_a_feature_with_a_long_name_{n}" for n in range(50)]
        for kind in ("Strato", "Nuclei")
    ]
    matrix = pd.DataFrame(
        np.where(group[:, None] == group, 0.8, -0.5) + rng.normal(0, 0.02, (50, 50)),
        *names,
    )
    significant = matrix > 0.8
    figure = figures.correlation(matrix, significant, *LONG[:2])
    assert_readable(figure)
    axes = figure.axes[0]
    rows, columns = (
        [int(label.split("_")[-1]) for label in tick_labels(axis)]
        for axis in (axes.yaxis, axes.xaxis)
    )
    assert sorted(rows) == sorted(columns) == list(range(50))
    assert (
        (np.diff(group[rows]) != 0).sum() == (np.diff(group[columns]) != 0).sum() == 1
    )
    np.testing.assert_array_equal(
        axes.images[0].get_array(), matrix.to_numpy()[np.ix_(rows, columns)]
    )
    (dots,) = axes.findobj(PathCollection)
    marked = {(rows[int(y)], columns[int(x)]) for x, y in dots.get_offsets()}
    assert marked == set(zip(*np.nonzero(significant.to_numpy())))


def test_a_correlation_of_one_feature():
    one = pd.DataFrame([[0.5]], ["a"], ["b"])
    assert_readable(figures.correlation(one, one > 1, "A", "B"))


def runs(features, hours, image_sets, hosts=1):
    """Lines of `stratonet extract`: one for each host of each run."""
    return pd.DataFrame(
        {
            "features": features,
            "started": f"2026-01-01T00:{run:02d}",
            "shard": "1/1",
            "image_sets": image_sets,
            "cpu_percent_mean": 50.0 + host,
            "cpu_percent_max": 90.0 + host,
            "memory_percent_mean": 20.0,
            "memory_percent_max": 30.0 + host,
            "process_memory_max_mb": 2048.0,
            "hours": one,
        }
        for run, one in enumerate(hours)
        for host in range(hosts)
    )


def test_resources_of_runs():
    frame = pd.concat(
        [
            runs(LONG[0], [0.5, 1.0, 2.0], 900),
            runs(LONG[1], [1.0], 1800, hosts=2),
            runs("c", [1.0], 0),
        ]
    )
    figure = figures.resources(frame)
    assert_readable(figure)
    time, processor, memory, process = figure.axes
    points = [
        line
        for axes in figure.axes
        for line in axes.get_lines()
        if line.get_linestyle() == "None"
    ]
    assert sorted(points[0].get_xdata()) == [
        2.0,
        4.0,
        4.0,
        8.0,
    ]  # two machines for an hour: 7,200 s for 1,800 sets
    boxes = [
        line.get_xdata() for line in time.get_lines() if len(line.get_xdata()) == 5
    ]
    assert [(min(box), max(box)) for box in boxes] == [
        (3.0, 6.0),
        (4.0, 4.0),
    ]  # quartiles
    assert points[1].get_xdata().tolist() == [50.0, 50.0, 50.0, 50.5]
    assert points[2].get_xdata().tolist() == [90.0, 90.0, 90.0, 91.0]
    assert points[4].get_xdata().tolist() == [30.0, 30.0, 30.0, 31.0]
    assert points[5].get_xdata().tolist() == [2.0] * 4
    assert len(tick_labels(time.yaxis)) == 2
    assert (
        "2 to 8 seconds of a machine, in 4 runs. 1 that measured none"
        in figure._suptitle.get_text()
    )
    with pytest.raises(ValueError, match="None of 1 runs measured an image set"):
        figures.resources(runs("c", [1.0], 0))


def test_resources_as_extract_writes_them(tmp_path):
    from screens import TAP, screen, write

    from stratonet.extraction.run import extract

    files, table = screen(plates=("P1",), wells=("A01",), sites=2, root=f"{tmp_path}/")
    write(tmp_path, files)
    table.to_csv(tmp_path / "load_data.csv", index=False)
    extract([tmp_path / "load_data.csv"], tmp_path / "out", taps=[TAP], quiet=True)
    frame = pd.concat(
        map(pd.read_csv, (tmp_path / "out" / "_runs").glob("*.csv"))
    ).assign(features="StratoNet")
    figure = figures.resources(frame)
    assert_readable(figure)
    assert figure.axes[0].get_lines()[-1].get_xdata()[0] == pytest.approx(
        frame.hours.iloc[0] * 1800
    )
