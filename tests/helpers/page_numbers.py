"""The numbers of a report's page, computed a second time from the files beside it."""

import re
from html.parser import HTMLParser

import numpy as np
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

# What does not depend on the data, or is not a number.
CONSTANTS = (
    r"95% interval",
    r"5% false discoveries|false discovery rate of 5%",
    r"\bF1\b",
    r"stratonet 0\.\d.*Python .*",
    r"scale from 0, none, to 1, complete",
    r"weights of all features of a table sum to 1|1 is perfect",
    r"pycytominer [\d.]+",
    r"correlate above 0\.9 with",
)


class _Texts(HTMLParser):
    """Texts that are read: of paragraphs, cells and pictures, each whole."""

    WHOLE = ("p", "li", "td", "dd", "figcaption", "caption", "h1", "h2", "summary")

    def __init__(self):
        super().__init__()
        self.texts, self.open = [], None

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.texts.append(dict(attributes)["alt"])
        elif tag in self.WHOLE:
            self.open = ""

    def handle_data(self, data):
        if self.open is not None:
            self.open += data

    def handle_endtag(self, tag):
        if tag in self.WHOLE and self.open is not None:
            text = " ".join(self.open.split())
            # Where a table came from is no number.
            self.texts.append(re.sub(r"; from /\S*", "", text))
            self.open = None


def read_texts(page):
    parser = _Texts()
    parser.feed(page)
    return parser.texts


def forget_constants(text):
    for pattern in CONSTANTS:
        text = re.sub(pattern, "", text)
    return text


def list_expected(numbers, rows):
    """Every text with a number that the page of two tables, Deep and Measured, has."""
    return [
        *_expect_controls(numbers, rows),
        *_expect_hits(numbers, rows),
        *_expect_likeness(numbers),
        *_expect_accuracy(numbers),
        *_expect_differences(numbers),
        *_expect_confusion(numbers),
        *_expect_retrieval(numbers, rows),
        *_expect_importance(numbers),
        *_expect_description(numbers, rows),
        *_expect_facts(numbers, rows),
    ]


def _find(frame, **wanted):
    for name, value in wanted.items():
        frame = frame[frame[name].fillna("") == value]
    assert len(frame) == 1
    return frame.iloc[0]


def _list_wells(rows):
    return rows.drop_duplicates(["Metadata_Plate", "Metadata_Well"])


def _expect_controls(numbers, rows):
    """Of a screen without positive controls."""
    hits, wells = numbers("hits"), _list_wells(rows)
    n_active = int((hits.corrected_p < 0.05).sum())
    yield (
        "It is unclear whether the assay works: no positive controls are known; "
        f"{n_active} of {len(hits)} treatments differ from the controls."
    )
    n_controls = int((rows.Metadata_Compound == "DMSO").sum())
    yield (
        f"{n_controls} rows are taken as negative controls, as specified (DMSO in"
        " compound)."
    )
    yield (
        f"No positive controls are known. {len(rows)} rows became {len(wells)} wells,"
        " by taking medians. Each feature, less the mean of the negative controls of"
        " its plate, was divided by its standard deviation within plates."
    )
    controls = wells[wells.Metadata_Compound == "DMSO"]
    letters = controls.Metadata_Well.str[0]
    columns = controls.Metadata_Well.str[1:].astype(int)
    # The last columns of 96 wells are empty: there the edge has three sides.
    groups = {"row": letters, "column": columns}
    groups["edge"] = letters.isin(["A", "H"]) | columns.isin([1, 12])
    drift = numbers("drift").set_index("factor")
    p = drift.p.sort_values()
    corrected = (p * len(p) / np.arange(1, len(p) + 1))[::-1].cummin()
    for factor, values in groups.items():
        yield f"{len(controls)}, {values.nunique()}"
        yield f"{drift.range[factor]:.2f}"
        yield f"{corrected[factor]:.2g}"


def _expect_hits(numbers, rows):
    hits, wells = numbers("hits"), _list_wells(rows)
    n_active = int((hits.corrected_p < 0.05).sum())
    (n_wells,) = (
        wells[wells.Metadata_Compound != "DMSO"]
        .value_counts("Metadata_Compound")
        .unique()
    )
    yield (
        f"With {n_wells} wells per treatment, the smallest possible p is"
        f" {hits.smallest_p.min():.2g}."
    )
    yield f"{n_active} of {len(hits)} treatments differ from the negative controls."
    yield (
        "Each treatment by its distance from the negative controls (1 is that of a"
        " typical control) and by the mean average precision with which its wells find"
        " each other among these. Active treatments are far from the controls, and"
        " their wells are alike. Some of the farthest are named. Point at a dot to see"
        " the treatment's well of median distance. figures/hits.png"
    )
    yield (
        f"Treatments, the active ones first ({len(hits)} of {len(hits)}; all are in"
        " numbers/hits.csv). mAP: mean average precision with which the wells of a"
        " treatment find each other among negative controls; in brackets, the value"
        " expected by chance. p: from random ranks, corrected for comparing many"
        " treatments (5% false discoveries). Distance: from the negative controls; 1 is"
        " that of a typical control. Objects: their number, relative to the controls."
    )
    for row in hits.itertuples():
        of_compound = wells[wells.Metadata_Compound == row.compound]
        names = sorted(of_compound.Metadata_Well.unique())
        n_plates = of_compound.Metadata_Plate.nunique()
        yield row.treatment
        yield (f"{' '.join(names[:4])} and {len(names) - 4} more, on {n_plates} plates")
        yield f"{row.mean_average_precision:.2f} ({row.by_chance:.2f})"
        yield f"{row.corrected_p:.2g}"
        yield f"{row.distance:.2f}"


def _expect_likeness(numbers):
    effects = numbers("effects").set_index("treatment")
    (first, most), *others = effects.median().nlargest(3).items()
    yield (
        f"What treatments change most: {first} ({most:.1f} times a control, median),"
        f" {', '.join(f'{name} ({value:.1f})' for name, value in others)}."
    )
    groups = numbers("groups").set_index("treatment").group
    n, n_groups = len(effects), groups.nunique()
    words = f"{n_groups} group{'s' if n_groups > 1 else ''}"
    yield f"{n} active treatments fall into {words} of cells that look alike."
    yield (
        "How strongly each active treatment changes the features of a channel and tap:"
        " the root mean square of its wells (median), relative to negative controls; 1"
        " is no effect. Neighbouring treatments look alike (average linkage of the"
        " cosine similarity of all features); lines separate the groups. Shown:"
        f" {n} of {n}. figures/likeness.png"
    )
    yield (
        "The most similar active treatments of other compounds, if there are any"
        f" ({n} of {n}; all are in numbers/neighbours.csv)."
    )
    for name, nearest in numbers("neighbours").groupby("treatment"):
        nearest = nearest.sort_values("similarity", ascending=False)
        pairs = zip(nearest.neighbour, nearest.similarity)
        yield name
        yield str(groups[name])
        yield ", ".join(f"{other} ({similarity:.2f})" for other, similarity in pairs)
    for row in numbers("mechanisms").itertuples():
        yield str(row.group)
        yield f"{row.n_in_group} of {row.n_group}"
        yield f"{row.n_mechanism} of {row.n_all}"
        yield f"{row.corrected_p:.2g}"


def _score(numbers, features, classifier):
    predictions = numbers("predictions")
    label, told = predictions.label, predictions[f"{features} {classifier}"]
    weights = 1 / label.map(label.value_counts())
    accuracy = balanced_accuracy_score(label, told)
    return accuracy, f1_score(label, told, average="macro", sample_weight=weights)


def _expect_accuracy(numbers):
    predictions, scores = numbers("predictions"), numbers("scores")
    label = predictions.label
    n, right = len(label), int((label == predictions["Deep SVM"]).sum())
    of_svm = {"features": "Deep", "classifier": "SVM", "test": "balanced"}
    row = _find(scores, metric="accuracy", **of_svm)
    accuracy = _score(numbers, "Deep", "SVM")[0]
    yield (
        f"With Deep features, the SVM has a balanced accuracy of {accuracy:.1%}: the"
        " share of each class that is classified correctly, averaged over the"
        f" {label.nunique()} classes (95% interval {100 * row.low:.1f} to"
        f" {100 * row.high:.1f}%; by chance {1 / label.nunique():.1%}). Of all image"
        f" sets, it classifies {right} of {n} ({right / n:.1%}) correctly; always"
        " predicting the largest class would be correct for"
        f" {label.value_counts().max() / n:.1%}."
    )
    yield (
        f"With Deep features, the SVM has a balanced accuracy of {accuracy:.2f} (95%"
        f" interval {row.low:.2f} to {row.high:.2f})."
    )
    for classifier in ("SVM", "RF", "MLP"):
        for features in ("Deep", "Measured"):
            values = _score(numbers, features, classifier)
            for value, metric, average in zip(
                values, ("accuracy", "F1"), ("", "macro")
            ):
                of_table = {"features": features, "classifier": classifier}
                of_metric = {"metric": metric, "average": average}
                row = _find(scores, test="balanced", **of_table, **of_metric)
                yield f"{value:.3f} ({row.low:.3f} to {row.high:.3f})"


def _expect_differences(numbers):
    row = _find(numbers("differences"), classifier="SVM")
    deep, measured = (_score(numbers, name, "SVM")[0] for name in ("Deep", "Measured"))
    verdict = "no difference shown"
    if row.low > 0 or row.high < 0:
        verdict = f"{'Deep' if row.low > 0 else 'Measured'} is better"
    yield (
        f"Balanced accuracy of the SVM, Deep minus Measured ({measured:.1%}) is"
        f" {100 * (deep - measured):+.1f} points (95% interval {100 * row.low:+.1f} to"
        f" {100 * row.high:+.1f}): {verdict}."
    )
    yield (
        f"Balanced accuracy of the SVM, Deep minus Measured: {deep - measured:+.2f}"
        f" (95% interval {row.low:+.2f} to {row.high:+.2f}); {verdict}."
    )


def _expect_confusion(numbers):
    predictions = numbers("predictions")
    classes = sorted(predictions.label.unique())
    shares = confusion_matrix(
        predictions.label, predictions["Deep SVM"], normalize="true"
    )
    yield (
        f"With Deep features, the SVM has a balanced accuracy of"
        f" {np.diagonal(shares).mean():.1%}, the mean of the diagonal."
    )
    np.fill_diagonal(shares, 0)
    true, told = np.unravel_index(shares.argmax(), shares.shape)
    yield (
        f"Most frequent confusion by the SVM with Deep features: {shares.max():.0%} of"
        f" {classes[true]} are classified as {classes[told]}."
    )


def _expect_retrieval(numbers, rows):
    found = numbers("retrieval")
    first = found[(found.features == "Deep") & found.value.notna()]
    for row in first.itertuples():
        for features in ("Deep", "Measured"):
            value = _find(found, features=features, measure=row.measure).value
            yield f"{value:.3f}"
        yield f"{row.n:,} of {row.of:,}"
        if re.search(r"\d", forget_constants(row.note)):
            yield row.note
    wells = rows.drop_duplicates(["Metadata_Plate", "Metadata_Well"])
    controls = wells[wells.Metadata_Compound == "DMSO"]
    least = controls.groupby("Metadata_Plate").size().min()
    for features, n_features in (("Deep", 32), ("Measured", 20)):
        yield (
            f"Profiles of {features}: The {len(rows)} rows of the feature table became"
            f" {len(wells)} wells on {wells.Metadata_Plate.nunique()} plates, by taking"
            " medians. Left out, since it differs"
            " within wells: Metadata_Site. Each feature was standardized on the"
            f" negative controls of its plate, {least} or more. Profiles have"
            f" {n_features} features. They were not sphered: this takes at least"
            f" {2 * n_features} negative controls, and there are {len(controls)}. All"
            " by pycytominer 1.7.1."
        )


def _expect_importance(numbers):
    importance = numbers("importance")
    of_svm = importance[importance.classifier == "SVM"]
    top = of_svm.groupby("features").importance.apply(
        lambda one: one.nlargest(20).sum()
    )
    yield (
        "The 20 features with the largest weight in the SVM hold"
        f" {top['Deep']:.1%} (Deep), {top['Measured']:.1%} (Measured) of the weight of"
        " all."
    )
    parts = of_svm.groupby(["features", "part"]).importance.sum()
    words = [
        f"{parts[name].idxmax()} in {name} ({parts[name].max():.0%})"
        for name in ("Deep", "Measured")
    ]
    yield f"The group with the largest weight in the SVM: {', '.join(words)}."


def _expect_description(numbers, rows):
    variance = numbers("variance")
    first = variance[variance.component <= 10].groupby("features").variance.sum()
    low, high = first.sort_values().index
    yield (
        f"The first 10 components explain {first[low]:.0%} ({low}) to"
        f" {first[high]:.0%} ({high}) of the variance."
    )
    yield (
        f"{len(rows)} image sets, arranged by their features: do those of the same"
        " class or the same plate or the same position lie together?"
    )
    yield (
        "UMAP of the principal components, for"
        f" {len(numbers('map')) // 2} of {len(rows)} image sets: the same map coloured"
        " by class, by plate, by position on the plate. If plates or positions form"
        " the same groups as the classes, they may be what separates the classes."
        " figures/map.png"
    )
    pairs = numbers("correlation")
    n_marked = int((pairs.q < 0.05).sum())
    best = pairs.loc[pairs.rho.abs().idxmax()]
    yield (
        f"{n_marked} of {len(pairs)} pairs are significantly correlated (with a dot);"
        f" the strongest correlation is {best.rho:.2f}, between"
        f" {best['first']} and {best.second}."
    )
    yield (
        f"Spearman's rank correlation, over {len(numbers('plates'))} wells, between the"
        f" {pairs['first'].nunique()} and {pairs.second.nunique()} features most"
        f" important to the random forest. Dots mark the {n_marked} of {len(pairs)}"
        " pairs that are significant at a false discovery rate of 5% (Benjamini and"
        " Hochberg). Features that separate the same classes are correlated because of"
        " the classes. figures/correlation.png"
    )
    votes = numbers("plates").drop(columns=["plate", "well"])
    yield (
        f"The share of votes for a class ranges from {votes.min().min():.2f} to"
        f" {votes.max().max():.2f} on plates of 96 wells. Does it follow the true"
        " classes, or edges and halves of a plate?"
    )
    yield (
        "The true classes, and the random forest's share of votes for each class, with"
        " Deep features. Each well is predicted by trees not trained on it. Shown:"
        f" {rows.Metadata_Plate.nunique()} of {rows.Metadata_Plate.nunique()} plates,"
        f" {votes.shape[1]} of {votes.shape[1]} classes. Where votes follow the true"
        " classes, these are recognised. Where votes follow an edge or a half of the"
        " plate that no true class follows, they show an effect of position. Where a"
        " true class fills an edge or a half of the plate, this map cannot tell class"
        " and position apart. figures/plates.png"
    )


def _expect_facts(numbers, rows):
    predictions = numbers("predictions")
    wells = rows.drop_duplicates(["Metadata_Plate", "Metadata_Well"])
    n_plates = rows.Metadata_Plate.nunique()
    yield f"{len(rows)} image sets of {len(wells)} wells on {n_plates} plates"
    counts = predictions.label.value_counts()
    yield ", ".join(f"{name} ({count})" for name, count in counts.items())
    n_groups = predictions.group.nunique()
    yield (
        f"{predictions.fold.nunique()} folds by row: all image sets of one row (of"
        f" {n_groups}) are tested together, by models that were trained on none of"
        " them. Each training set is balanced and scaled on its own."
    )
    features = numbers("importance").groupby(["features", "classifier"]).size()
    yield f"{features['Deep', 'SVM']} features, feature set net-1-0123456789ab"
    yield f"{features['Measured', 'SVM']} features"
    yield "0"  # the seed
