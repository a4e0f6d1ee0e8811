"""``stratonet evaluate``.

How good sets of features are, as one page, its figures and its numbers.
"""

import platform
from importlib.metadata import version

import numpy as np
import pandas as pd

from stratonet import __version__
from stratonet.tables.columns import BATCH, OBJECT, PLATE, SITE, WELL
from stratonet.tables.reading import read_feature_table, read_metadata
from stratonet.tables.wells import split_well_names
from stratonet_sklearn.evaluation.classification import CLASSIFIERS, evaluate
from stratonet_sklearn.evaluation.comparison import (
    align_tables,
    find_column,
    get_column,
    name_feature_groups,
    name_wells,
)
from stratonet_sklearn.evaluation.components import describe
from stratonet_sklearn.evaluation.retrieval import make_profiles, retrieve
from stratonet_sklearn.evaluation.splits import confounding
from stratonet_sklearn.report import figures, plates, words
from stratonet_sklearn.report.page import Page
from stratonet_sklearn.report.pictures import pictures

PACKAGES = (
    "numpy",
    "pandas",
    "scikit-learn",
    "imbalanced-learn",
    "pycytominer",
    "copairs",
    "umap-learn",
)
MOST_IMPORTANT = 80  # bars of the figure of importance


def report(
    tables,
    output,
    *,
    label=None,
    group="well",
    metadata=None,
    compound=None,
    dose=None,
    control=None,
    leave_out=(),
    n_folds=10,
    seed=0,
    images=None,
    command="",
    progress=True,
):
    """Evaluate and compare sets of features: write ``report.html``, ``figures/*.png`` and ``numbers/*.csv``.

    Parameters
    ----------
    tables : dict of str to path
        Tables of features by the name they have in the report, as
        `stratonet.tables.reading.read_feature_table` takes them. They are evaluated on
        the rows they share, and the first is compared with the others.
    output : path
        Folder, made if missing.
    label, group, compound, dose : str
        Columns ``Metadata_*``, with or without that beginning: the class; what the
        split never divides (``well``: the wells of all plates); the treatments, for
        retrieval. Without a label nothing is classified.
    metadata : path, optional
        CSV or Parquet with more ``Metadata_*`` for each well or image set.
    control : (str, str), optional
        Column and value of the negative controls.
    leave_out : sequence of str
        Classes to leave out of the classification.
    n_folds, seed : int
    images : path, optional
        A source of images as ``stratonet extract`` takes it, to show wells.
    command : str
        How the report was asked for, to be shown in it.
    progress : bool

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    FileNotFoundError, ValueError
        A table, a column or the split is not what it should be: see `read_table`,
        `align`, `column`, `evaluate`.
    """
    if not tables:
        raise ValueError("There is no table to evaluate.")
    sets = [read_feature_table(source, name) for name, source in tables.items()]
    sets, rows = align_tables(sets, None if metadata is None else read_metadata(metadata))
    if len(rows) < 2:
        raise ValueError("There is nothing to compare: the tables have one row.")
    if label is None and images is not None:
        raise ValueError(
            "Images are shown by class: name the column of the classes too (--label)."
        )
    labels = None if label is None else get_column(rows, label)
    controls = None if control is None else _controls(rows, *control)
    for name in (compound, dose):
        if name is not None:
            find_column(rows, name)

    page = Page(output)
    page.facts = _data(sets, rows)
    importance = {}
    if labels is None:
        page.answer.append(
            "No column of classes was named (--label): features are described and"
            " compared, not judged."
        )
    else:
        found = _classify(
            page, sets, rows, labels, group, leave_out, n_folds, seed, progress
        )
        importance = found.importance
    _retrieve(page, sets, rows, label, compound, dose, controls)
    if importance:
        _importance(page, importance)
    describe(page, sets, rows, labels, importance, seed)
    if labels is not None:
        _plates(
            page,
            found,
            rows.iloc[found.rows].reset_index(drop=True),
            sets[0].name,
            images,
        )
    _resources(page, sets)
    page.section("What was left out")
    page.text(
        *([f"{one.name}: {note}" for one in sets for note in one.notes] or ["Nothing."])
    )
    page.facts += [
        ("Seed", str(seed)),
        (
            "Versions",
            f"stratonet {__version__}, Python {platform.python_version()}, "
            + ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        ),
        ("Command", command),
    ]
    first, *others = tables
    return page.write(
        first
        + f" against {', '.join(others)}" * bool(others)
        + ": how good are the features?"
    )


def _data(sets, rows):
    wells = name_wells(rows)
    n_plates = rows[PLATE].nunique()
    return [
        (
            "Data",
            (
                f"{len(rows):,} {unit(rows)} of {wells.nunique():,} wells on"
                f" {n_plates:,} plate{'s' * (n_plates > 1)}"
            ),
        ),
        *(
            (
                one.name,
                f"{len(one.features):,} features"
                + (f", feature set {one.feature_set_id}" if one.feature_set_id else "")
                + f"; from {one.source}",
            )
            for one in sets
        ),
    ]


def unit(rows):
    """What a row is."""
    if OBJECT in rows:
        return "objects"
    return "image sets" if SITE in rows else "wells"


def _controls(rows, name, value):
    controls = (get_column(rows, name) == value).to_numpy()
    if not controls.any():
        values = sorted(get_column(rows, name).unique())
        raise ValueError(
            f"No row has {value!r} as {name}. Received:"
            f" {', '.join(map(repr, values[:20]))}"
        )
    return controls


def _classify(page, sets, rows, labels, group, leave_out, n_folds, seed, progress):
    labelled = np.flatnonzero(labels != "")
    wells = name_wells(rows)
    groups = (
        wells
        if group.removeprefix("Metadata_").lower() == "well"
        else get_column(rows, group)
    )
    without = (groups.iloc[labelled] == "").sum()
    if without:
        raise ValueError(
            f"{without} rows with a label have no {group}. Fill it in, or leave their"
            " label empty."
        )
    found = evaluate(
        {one.name: one.frame[one.features].iloc[labelled] for one in sets},
        labels.iloc[labelled],
        groups=groups.iloc[labelled],
        wells=wells.iloc[labelled],
        leave_out=leave_out,
        n_folds=n_folds,
        seed=seed,
        progress=progress,
    )
    # Numbers of rows among all, not among those with a label.
    found.rows[:] = labelled[found.rows]
    tested = rows.iloc[found.rows].reset_index(drop=True)
    scores, differences = (
        found.scores(seed),
        found.differences("accuracy", "", seed=seed),
    )
    page.answer += words.answer(found, scores, differences, unit(rows))
    together = confounding(*_of_wells(tested, found.labels))
    page.warnings += words.confounded(together)
    counts = pd.Series(found.labels).value_counts()
    page.facts += [
        (
            "Classes",
            ", ".join(f"{name} ({count:,})" for name, count in counts.items())
            + f"; left out: {', '.join(leave_out)}" * bool(leave_out)
            + f"; {len(rows) - len(labelled):,} rows have no label"
            * (len(labelled) < len(rows)),
        ),
        (
            "Split",
            (
                f"{found.folds.max() + 1} folds by {group}: all {unit(rows)} of one"
                f" {group} (of {len(set(found.groups)):,}) are tested together, by"
                " models that have seen none of them. The training part is balanced"
                " and scaled by itself."
            ),
        ),
    ]

    page.section("How well the classes are told apart")
    page.numbers("scores", scores)
    page.numbers("folds", found.by_fold())
    page.figure(
        "scores",
        figures.bars(scores, 1 / len(found.classes)),
        "Scores of each classifier and set of features, with 95 % intervals: how far"
        f" they would move with other {group}s of the same kind. As found: rows as they"
        " are. Balanced: every class counts the same.",
    )
    page.table(_summary(scores), "Balanced accuracy and macro F1, with 95 % intervals.")
    if len(sets) > 1:
        page.numbers("differences", differences)
        page.figure(
            "differences",
            figures.differences(differences[differences["first"] == sets[0].name]),
            "Differences of balanced accuracy, paired: same folds, same draws. Where"
            " the interval leaves out zero, one set is better on these data. There are"
            " as many comparisons as lines, and no correction for that. Those of the"
            " other sets with each other: numbers/differences.csv.",
        )
    if len(together):
        page.numbers("confounding", together.reset_index())

    page.section("Which classes are mistaken")
    for classifier in CLASSIFIERS:
        page.figure(
            f"confusion_{classifier}",
            figures.confusions(found, classifier),
            f"{classifier}: of the {unit(rows)} of each class (rows), the share that"
            " was taken for each class (columns).",
            shown=classifier == words.HEADLINE,
        )
    page.text(
        "Those of the other classifiers: figures/confusion_*.png, and"
        " numbers/confusion.csv."
    )
    page.numbers(
        "confusion",
        pd.concat(
            found.confusion(*key)
            .rename_axis("true")
            .melt(var_name="told", value_name="rows", ignore_index=False)
            .reset_index()
            .assign(features=key[0], classifier=key[1])
            for key in found.predicted
        ),
    )
    predictions = pd.concat(
        [
            tested,
            pd.DataFrame(
                {"label": found.labels, "group": found.groups, "fold": found.folds}
            ),
            pd.DataFrame(
                {
                    f"{features} {name}": told
                    for (features, name), told in found.predicted.items()
                }
            ),
            *(
                pd.DataFrame(
                    shares,
                    columns=[
                        f"{features} share of votes {name}" for name in found.classes
                    ],
                )
                for features, shares in found.probabilities.items()
            ),
        ],
        axis=1,
    )
    page.numbers("predictions", predictions)
    return found


def _of_wells(rows, labels):
    """The class of each well, and where it lies.

    What may tell the class without any image.
    """
    frame = pd.DataFrame(
        {"label": labels, "well": name_wells(rows), "plate": rows[PLATE]}
    )
    if BATCH in rows:
        frame["batch"] = rows[BATCH]
    frame["row of the plate"], frame["column of the plate"] = split_well_names(
        rows[WELL]
    )
    frame = frame.drop_duplicates(["label", "well"]).dropna(axis=1)
    return frame.label, frame.drop(columns=["label", "well"])


def _summary(scores):
    def shown(metric, average):
        wanted = scores[
            (scores.test == "balanced")
            & (scores.metric == metric)
            & (scores.average == average)
        ]
        return [
            f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f})"
            for row in wanted.itertuples()
        ], wanted

    accuracy, wanted = shown("accuracy", "")
    return pd.DataFrame(
        {
            "Features": wanted.features,
            "Classifier": wanted.classifier,
            "Balanced accuracy": accuracy,
            "Macro F1, balanced": shown("F1", "macro")[0],
        }
    )


def _retrieve(page, sets, rows, label, compound, dose, controls):
    page.section("Do treatments that work alike look alike?")
    if compound is None:
        page.text(
            "No column of compounds was named (--compound), so that retrieval could not"
            " be scored."
        )
        return
    label, compound, dose = (
        None if name is None else find_column(rows, name)
        for name in (label, compound, dose)
    )
    scored, steps = {}, {}
    for one in sets:
        try:
            profiles = make_profiles(rows, one.frame[one.features], controls)
            scored[one.name] = retrieve(
                profiles, label, compound, dose, BATCH if BATCH in rows else PLATE
            )
        except ValueError as error:  # what was classified before is worth keeping
            page.text(f"Not computed for {one.name}: {error}")
            continue
        steps[one.name] = " ".join(profiles.steps)
    if not scored:
        return
    frame = pd.concat(scored, names=["features"]).reset_index(level="features")
    page.numbers("retrieval", frame)
    first = next(iter(scored.values())).set_index("measure")
    known = first.index[first.value.notna()]
    shown = first.loc[known].reset_index()
    if len(known):
        columns = {
            name: [f"{value:.3f}" for value in one.set_index("measure").value[known]]
            for name, one in scored.items()
        }
        on = [f"{n:,} of {of:,}" for n, of in zip(shown.n, shown.of)]
        page.table(
            pd.DataFrame(
                {
                    "Measure": known,
                    **columns,
                    "Computed on": on,
                    "What it is": shown.note,
                }
            ),
            "1 is perfect. Profiles are compared by cosine similarity.",
        )
    for note, measures in first[first.value.isna()].groupby("note", sort=False):
        page.text(f"Not computed: {', '.join(measures.index)}. {note}")
    if len(known):
        page.text(*(f"Profiles of {name}: {how}" for name, how in steps.items()))


def _importance(page, importance):
    page.section("Which features tell the classes apart")
    page.figure(
        "importance",
        figures.importance(
            importance, min(figures.SHOWN, MOST_IMPORTANT // len(importance))
        ),
        "The features with most weight: the size of the SVM's coefficients (features"
        " have unit variance), and the decrease in impurity in the random forest; means"
        " over folds, all features of a set sum to 1.",
    )
    long = pd.concat(
        pd.DataFrame(
            {
                "features": features,
                "classifier": name,
                "feature": weights.index,
                "part": name_feature_groups(weights.index),
                "importance": weights.to_numpy(),
            }
        )
        for (features, name), weights in importance.items()
    )
    page.numbers("importance", long)
    shares = (
        long.groupby(["features", "classifier", "part"], sort=False)
        .importance.sum()
        .rename("share")
        .reset_index()
    )
    page.numbers("importance_by_part", shares)
    page.figure(
        "importance_by_part",
        figures.parts(shares),
        "The same, summed: by channel and tap, and by kind of measurement. Parts of"
        " many features have more to sum.",
    )


def _plates(page, found, rows, name, images):
    page.section("On the plates")
    shares = pd.DataFrame(found.probabilities[name], columns=found.classes)
    frame = pd.concat(
        [rows[[PLATE, WELL]].set_axis(["plate", "well"], axis=1), shares], axis=1
    )
    wells = frame.groupby(["plate", "well"], as_index=False).mean()
    page.numbers("plates", wells)
    if split_well_names(wells.well)[0].isna().any():
        page.text(
            f"The wells are not named by row and column (the first: {wells.well[0]}),"
            " so that there is no map."
        )
    else:
        chosen = wells.plate.unique()[: max(1, plates.PANELS // len(found.classes))]
        classes = found.classes[: plates.PANELS]
        long = wells[wells.plate.isin(chosen)].melt(
            ["plate", "well"], classes, "name", "value"
        )
        page.figure(
            "plates",
            plates.plate_maps(long),
            f"The random forest's share of votes for each class, by {name}; each well"
            f" by trees that have not seen it. {len(chosen)} of {wells.plate.nunique()}"
            f" plates, {len(classes)} of {len(found.classes)} classes. Edges or halves"
            " of a plate that stand out are effects of the layout.",
        )
    if images is None:
        page.text("The images were not named (--images), so that no wells are shown.")
        return
    page.section("Wells to look at")
    others = {
        one: told
        for (one, classifier), told in found.predicted.items()
        if classifier == "RF" and one != name
    }
    try:
        shown = pictures(images, rows, found.labels, shares, others)
    except (OSError, ValueError) as error:
        page.text(f"They cannot be shown: {error}")
        return
    page.figure(
        "wells",
        plates.thumbnails(shown),
        f"For each class the {unit(rows)} with the largest share of the random forest's"
        f" votes for it, and those that were mistaken most clearly, by {name}; which of"
        " the other sets of features tell these right.",
    )


def _resources(page, sets):
    known = [
        one.resources.assign(features=one.name)
        for one in sets
        if one.resources is not None
    ]
    if not known:
        return
    page.section("Time and resources of the extraction")
    frame = pd.concat(known)
    page.numbers("resources", frame)
    if frame.image_sets.any():
        page.figure(
            "resources",
            figures.resources(frame),
            "What the runs of stratonet extract took of their machine.",
        )
    else:
        page.text("The runs whose records are there measured no image set.")
