"""Retrieval scores as the field reports them.

Whether profiles of wells are alike where treatments are.
"""

import tempfile
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import pandas as pd
import pycytominer
from copairs.map import average_precision, mean_average_precision
from copairs.map.normalization import expected_ap
from copairs.matching import UnpairedException
from pycytominer.operations import variance_threshold
from sklearn.metrics.pairwise import cosine_similarity

from stratonet.messages import shorten_list
from stratonet.naming import metadata_columns
from stratonet.tables.columns import PLATE, WELL

FEWEST = 4  # wells to take a feature's mean and scale from
# pycytominer takes half a minute for half a million correlated pairs, and pairs grow with the square of the features.
MOST_CORRELATED = 3000
CONTROLS_A_FEATURE = 2  # below, sphering fits the controls' noise
SIGNIFICANT = 0.05
NULL_SIZE = 10_000
CONTROL = "is_control"


@dataclass(frozen=True)
class Profiles:
    """Profiles of wells.

    Attributes
    ----------
    frame : pandas.DataFrame (n wells)
        ``Metadata_*`` and features (float64).
    features : list of str
        The columns of features.
    control : numpy.ndarray (n wells,), bool, or None
        Which wells are negative controls; None if this is not known.
    steps : list of str
        How they were made: sentences.
    """

    frame: pd.DataFrame
    features: list
    control: np.ndarray
    steps: list


def make_profiles(metadata, features, control=None):
    """Make profiles of wells: aggregate, normalize, select features and sphere, all by pycytominer (see Notes).

    Parameters
    ----------
    metadata : pandas.DataFrame (n rows)
        ``Metadata_*`` of wells, sites or objects, with ``Metadata_Plate`` and
        ``Metadata_Well``.
    features : pandas.DataFrame (n rows, n features)
        Numbers without NaN, in the same order.
    control : array (n rows,), bool, optional
        Which rows are of negative controls. No other label is used.

    Returns
    -------
    Profiles

    Raises
    ------
    ValueError
        Columns are missing, rows do not match, features have NaN, none can be used, a
        well is a control in some rows.

    Notes
    -----
    ----- Each plate is standardized on its negative controls. Constant features are the
    trap: ``mad_robustize`` divides by nearly zero where most controls have one value,
    and ``standardize`` leaves unscaled what is the same in all. So features that do not
    vary there are left out, and those that go beyond 500 standard deviations.

    Profiles are sphered on the controls, regularized by one standard deviation, where
    there are twice as many controls as features. Sphering wide tables, on components of
    all wells, made simulated treatments that did nothing alike.

    References
    ----------
    ---------- Caicedo et al., Nature Methods 14, 849 (2017); Serrano et al., Nature
    Methods 22, 677 (2025).
    """
    _check(metadata, features, control)
    frame, aggregated = _aggregate(metadata, features, control)
    frame, normalized = _normalize(frame, list(features))
    frame, selected = _select(frame, [name for name in features if name in frame])
    names = [name for name in features if name in frame]
    frame, sphered = _sphere(frame, names)
    steps = [
        *aggregated,
        *normalized,
        *selected,
        *sphered,
        f"All by pycytominer {version('pycytominer')}.",
    ]
    of_wells = frame.pop(CONTROL).to_numpy()
    return Profiles(frame, names, None if control is None else of_wells, steps)


def retrieve(profiles, label, compound, dose=None, batch=PLATE):
    """Score how well profiles find their like, by cosine similarity.

    Parameters
    ----------
    profiles : Profiles
    label : str or None
        The column of mechanisms.
    compound : str
        The column of compounds. Wells without one, and negative controls, are not of a
        treatment.
    dose : str, optional
        The column of doses: a treatment is a compound at a dose.
    batch : str
        The column of batches.

    Returns
    -------
    pandas.DataFrame
        One row a measure: ``measure``; ``value``, NaN if it cannot be computed; ``n``,
        on how many treatments (mechanisms, positions), ``of`` how many; ``note``, what
        it is and by chance, or why there is none.

        - ``NSC`` (not the same compound): treatments, the median of their wells, whose
          nearest neighbour among those of
          other compounds has the same mechanism. ``NSCB`` (nor batch): neighbours share
          no batch either.
        - ``replicate mAP``: mean average precision with which the wells of a treatment
          find each other among negative
          controls on other plates; on the same, if most treatments are on one plate.
          ``replicate retrieved``: the share of treatments for which it is significant
          (permutations, corrected).
        - ``mechanism mAP``, ``mechanism retrieved``: the same for compounds of a
          mechanism among other compounds.
        - ``position mAP``, ``position retrieved``: negative controls in the same well
          of other plates, among those in
          other wells of other plates. High means that the layout of the plates is seen.

    Raises
    ------
    ValueError
        There is no such column.

    References
    ----------
    ---------- Ljosa et al., J Biomol Screen 18, 1321 (2013); Ando et al., bioRxiv
    161422 (2017); Kalinin et al., Nature Communications 16, 5181 (2025).
    """
    frame = profiles.frame
    known = metadata_columns(frame)
    absent = [
        name
        for name in (label, compound, dose, batch)
        if name is not None and name not in known
    ]
    if absent:
        raise ValueError(
            f"The profiles have no column {', '.join(absent)}. Metadata that differ"
            f" within a well are left out. Received: {', '.join(known)}"
        )
    control = (
        np.zeros(len(frame), bool)
        if profiles.control is None
        else np.asarray(profiles.control)
    )
    columns = {
        "compound": compound,
        "dose": dose,
        "label": label,
        "batch": batch,
        "plate": PLATE,
        "well": WELL,
    }
    wells = pd.DataFrame(
        {
            name: "" if column is None else frame[column].fillna("").to_numpy()
            for name, column in columns.items()
        }
    ).assign(control=control)
    wells["treatment"] = wells.groupby(["compound", "dose"]).ngroup()
    values, treated = (
        frame[profiles.features].reset_index(drop=True),
        ~control & (wells["compound"] != "").to_numpy(),
    )
    rows = [
        *_nearest(wells[treated], values[treated], batch),
        *_replicates(wells, values, treated),
        *_mechanisms(wells[treated], values[treated]),
        *_positions(wells[control], values[control]),
    ]
    return pd.DataFrame(rows, columns=["measure", "value", "n", "of", "note"])


def _check(metadata, features, control):
    absent = [name for name in (PLATE, WELL) if name not in metadata]
    if absent:
        raise ValueError(
            f"The metadata have no {' and no '.join(absent)}. Received:"
            f" {shorten_list(list(metadata))}"
        )
    lengths = {
        len(metadata),
        len(features),
        len(metadata) if control is None else len(control),
    }
    if len(lengths) > 1 or not len(metadata) or not features.shape[1]:
        received = (
            f"{len(metadata)} rows of metadata, {len(features)} of {features.shape[1]}"
            " features"
        )
        received += "" if control is None else f", {len(control)} of controls"
        raise ValueError(
            "Metadata, features and controls are of the same rows, one or more."
            f" Received: {received}"
        )
    bad = ~np.isfinite(features.to_numpy(float))
    if bad.any():
        where = f"{bad.any(axis=1).sum()} rows and {bad.any(axis=0).sum()} features"
        raise ValueError(
            f"{where} have NaN or infinite values. Leave out the rows that could not be"
            " measured, or these."
        )


def _aggregate(metadata, features, control):
    keys, names = [PLATE, WELL], list(features)
    rows = metadata.reset_index(drop=True).assign(
        **{CONTROL: False if control is None else np.asarray(control, bool)}
    )
    differ = rows.groupby(keys).nunique(dropna=False).max() > 1
    if differ[CONTROL]:
        raise ValueError(
            "A well is a negative control in all of its rows, or in none. Received:"
            " wells of both."
        )
    medians = pycytominer.aggregate(
        pd.concat([rows[keys], features.reset_index(drop=True)], axis=1),
        strata=keys,
        features=names,
        operation="median",
    )
    frame = (
        rows.drop_duplicates(keys)
        .drop(columns=differ.index[differ])
        .merge(medians, on=keys)
    )
    steps = [
        f"{len(rows):,} rows became {len(frame):,} wells, their median, on"
        f" {frame[PLATE].nunique():,} plates."
    ]
    if differ.any():
        steps.append(
            "Left out, since it differs within wells:"
            f" {', '.join(differ.index[differ])}."
        )
    return frame, steps


def _normalize(frame, names):
    """Standardize, and leave out the features that do not vary where the scale was taken."""
    n_controls, n_wells = frame.groupby(PLATE)[CONTROL].agg(["sum", "size"]).min()
    samples, parts = "all", [plate for _, plate in frame.groupby(PLATE)]
    if n_controls >= FEWEST:
        samples, where = (
            CONTROL,
            f"on the negative controls of its plate, {n_controls} or more",
        )
    elif n_wells >= FEWEST:
        where = (
            f"on all wells of its plate, since not every plate has {FEWEST} negative"
            " controls"
        )
    else:
        parts, where = (
            [frame],
            f"on all wells of all plates, since not every plate has {FEWEST} wells",
        )
    others = [name for name in frame if name not in set(names)]
    parts = [
        pycytominer.normalize(
            part,
            features=names,
            meta_features=others,
            samples=samples,
            method="standardize",
        )
        for part in parts
    ]
    try:
        constant = set().union(
            *(variance_threshold(part, names, samples) for part in parts)
        )
    except ValueError:  # scikit-learn's, that no feature is left
        constant = set(names)
    if len(constant) == len(names):
        raise ValueError(
            f"No feature can be used: of {len(names)}, none varies {where}. Are the"
            " images different?"
        )
    steps = [f"Each feature was standardized {where}."]
    if constant:
        steps.append(
            f"{len(constant):,} of {len(names):,} features do not vary there, and are"
            " left out."
        )
    kept = [name for name in names if name not in constant]
    return pd.concat(parts, ignore_index=True)[[*others, *kept]], steps


def _select(frame, names):
    reasons = {
        "blocklist": "are on pycytominer's blocklist of CellProfiler's features",
        "drop_outliers": "go beyond 500 standard deviations",
        "correlation_threshold": "correlate above 0.9 with others",
    }
    steps = []
    for operation, reason in reasons.items():
        if operation == "correlation_threshold" and len(names) > MOST_CORRELATED:
            steps.append(
                "Correlated features were kept, since there are more than"
                f" {MOST_CORRELATED:,}."
            )
            continue
        frame = pycytominer.feature_select(frame, features=names, operation=operation)
        kept = [name for name in names if name in frame]
        if len(kept) < len(names):
            steps.append(
                f"{len(names) - len(kept):,} of {len(names):,} features {reason}, and"
                " are left out."
            )
        names = kept
        if not names:
            raise ValueError(f"No feature can be used. {' '.join(steps)}")
    return frame, [*steps, f"Profiles have {len(names):,} features."]


def _sphere(frame, names):
    n_controls, needed = frame[CONTROL].sum(), CONTROLS_A_FEATURE * len(names)
    if n_controls < needed:
        return frame, [
            f"They were not sphered: this takes {needed:,} negative controls or more."
            f" Known: {n_controls:,}."
        ]
    others = [name for name in frame if name not in set(names)]
    sphered = pycytominer.normalize(
        frame,
        features=names,
        meta_features=others,
        samples=CONTROL,
        method="spherize",
        spherize_method="ZCA-cor",
        spherize_epsilon=np.sqrt(
            n_controls
        ),  # added to singular values, which are standard deviations times this
    )
    return sphered, [
        f"They were sphered (ZCA-cor) on {n_controls:,} negative controls, one standard"
        " deviation added."
    ]


def _unscored(measures, of, note):
    return [(measure, np.nan, 0, of, note) for measure in measures]


def _no_mechanisms(wells, by):
    """Why treatments or compounds cannot be compared by mechanism, or ``""``."""
    if not (wells["label"] != "").any():
        return f"No {by} has a mechanism: no column of them was named, or it is empty."
    several = wells.groupby(by)["label"].transform("nunique") > 1
    if several.any():
        names = list(wells.loc[several, "compound"].unique())
        return (
            f"Each {by} has one mechanism, the same in all its wells. Received several"
            f" for {shorten_list(names)}."
        )
    return ""


def _consensus(wells, values, by):
    """One row for each treatment or compound that has a mechanism, and their similarity."""
    wells = wells[wells["label"] != ""]
    medians = pycytominer.consensus(
        pd.concat([wells[[by]], values.loc[wells.index]], axis=1),
        replicate_columns=[by],
        operation="median",
        features=list(values),
    )
    return wells.groupby(by).first(), cosine_similarity(medians[list(values)])


def _nearest(wells, values, batch):
    of, why = wells["treatment"].nunique(), _no_mechanisms(wells, "treatment")
    if why:
        return _unscored(["NSC", "NSCB"], of, why)
    treatments, similarity = _consensus(wells, values, "treatment")
    compounds, labels = (
        treatments["compound"].to_numpy(),
        treatments["label"].to_numpy(),
    )
    batches = (
        pd.crosstab(wells["treatment"], wells["batch"]).loc[treatments.index].to_numpy()
    )
    alike, other = labels[:, None] == labels, compounds[:, None] != compounds
    among = "among those of other compounds"
    apart = f"{among} that share no {batch.removeprefix('Metadata_').lower()} with them"
    rows = []
    for measure, allowed, where in (
        ("NSC", other, among),
        ("NSCB", other & (batches @ batches.T == 0), apart),
    ):
        judged = (alike & allowed).any(axis=1)
        if not judged.any():
            rows += _unscored(
                [measure], of, f"No treatment has one of its mechanism {where}."
            )
            continue
        nearest = np.where(allowed, similarity, -np.inf).argmax(axis=1)
        value = (labels[nearest] == labels)[judged].mean()
        chance = (
            (alike & allowed).sum(axis=1)[judged] / allowed.sum(axis=1)[judged]
        ).mean()
        note = (
            f"Share of treatments whose nearest neighbour {where} has their mechanism;"
            f" by chance {chance:.3f}."
        )
        if judged.sum() < of:
            without, alone = of - len(treatments), (~judged).sum()
            note += (
                f" Left out: {without:,} without a mechanism, {alone:,} with none of"
                f" their mechanism {where}."
            )
        rows.append((measure, value, int(judged.sum()), of, note))
    return rows


def _replicates(wells, values, treated):
    """On other plates, or all on one plate: what is to be found stands on the same footing as what it is found among.

    Wells of a plate share the error of its normalization, but the controls that were
    normalized on do not. By this alone, up to all simulated treatments that did nothing
    were told from 8 or 16 controls of their plate.
    """
    spread = (
        wells[treated]
        .groupby("treatment")["plate"]
        .agg([("plates", "nunique"), ("wells", "size")])
    )
    across = (spread["plates"] > 1).sum() >= (spread["wells"] > spread["plates"]).sum()
    if across:
        alike, unlike, where = (
            (["treatment"], ["plate"]),
            ([], ["plate"]),
            "on other plates",
        )
    else:
        alike, unlike, where = (
            (["treatment", "plate"], []),
            (["plate"], []),
            "on the same plate",
        )
        parts = [
            pycytominer.normalize(
                plate, features=list(values), meta_features=[], method="standardize"
            )
            for _, plate in values.groupby(wells["plate"])
        ]
        values = pd.concat(parts).sort_index()
    known = wells["control"].any()
    unlike[1].append("control" if known else "treatment")
    among = (
        f"{'negative controls' if known else 'other treatments, as no negative controls are known,'}"
        f" {where}"
    )
    # Controls are nobody's replicates.
    wells = wells.assign(
        treatment=wells["treatment"].where(treated, -1 - np.arange(len(wells)))
    )
    kept = treated | wells["control"].to_numpy()
    return _precision(
        "replicate",
        wells[kept],
        cosine_similarity(values[kept]),
        alike,
        unlike,
        len(spread),
        "treatments",
        f"Wells of a treatment find each other among {among}"
        + (
            ": "
            if across
            else ", all standardized on all wells of the plate once more: "
        ),
        "This needs treatments with two wells or more, and negative controls or other"
        " treatments.",
    )


def _mechanisms(wells, values):
    of, why = (
        wells.loc[wells["label"] != "", "label"].nunique(),
        _no_mechanisms(wells, "compound"),
    )
    if why:
        return _unscored(["mechanism mAP", "mechanism retrieved"], of, why)
    compounds, similarity = _consensus(wells, values, "compound")
    return _precision(
        "mechanism",
        compounds,
        similarity,
        (["label"], []),
        ([], ["label"]),
        of,
        "mechanisms",
        f"{len(compounds):,} compounds (the median of all their wells) find those of"
        " their mechanism among all: ",
        "This needs a mechanism with two compounds or more, and another mechanism.",
    )


def _positions(controls, values):
    lacking = (
        "This needs negative controls in the same wells of two plates or more, and in"
        " two wells or more."
    )
    of, n_plates = controls["well"].nunique(), controls["plate"].nunique()
    if n_plates < 2:
        received = (
            "negative controls on one plate" if n_plates else "no negative controls"
        )
        return _unscored(
            ["position mAP", "position retrieved"],
            of,
            f"{lacking} Received: {received}.",
        )
    note = (
        "Negative controls find those in the same well of other plates among all of"
        " other plates: "
    )
    return _precision(
        "position",
        controls,
        cosine_similarity(values),
        (["well"], ["plate"]),
        ([], ["well", "plate"]),
        of,
        "positions",
        note,
        lacking,
    )


def _precision(measure, rows, similarity, alike, unlike, of, unit, note, lacking):
    """Mean average precision by copairs, and the share that is significant: two rows.

    ``alike``, ``unlike``: the columns in which those to find, and those among which,
    are the same, and in which they differ. The mean is over the first.
    """
    measures = [f"{measure} mAP", f"{measure} retrieved"]

    def look_up(first, second):
        return similarity[first[:, 0], second[:, 0]]

    try:
        numbers = np.arange(len(rows))[:, None]
        found = average_precision(
            rows, numbers, *alike, *unlike, distance=look_up, progress_bar=False
        )
    except UnpairedException:
        return _unscored(measures, of, lacking)
    by = alike[0][:1]
    found = found[
        (found["n_pos_pairs"] > 0) & (found["n_total_pairs"] > found["n_pos_pairs"])
    ]
    if not len(found):
        return _unscored(measures, of, lacking)
    # Not the cache in the user's home: what it holds depends on what was computed first.
    with tempfile.TemporaryDirectory() as cache:
        scores = mean_average_precision(
            found, by, NULL_SIZE, SIGNIFICANT, 0, progress_bar=False, cache_dir=cache
        )
    by_chance = [
        expected_ap(n, total - n)
        for n, total in zip(found["n_pos_pairs"], found["n_total_pairs"])
    ]
    chance = found.assign(by_chance=by_chance).groupby(by)["by_chance"].mean().mean()
    left_out = (
        f" Left out, with nothing to find: {of - len(scores):,}."
        if len(scores) < of
        else ""
    )
    notes = (
        f"{note}mean over {unit}; by chance {chance:.3f}.{left_out}",
        (
            f"Share of {unit} for which this is significant (permutations;"
            f" {SIGNIFICANT:.0%} false discoveries).{left_out}"
        ),
    )
    values = scores["mean_average_precision"].mean(), scores["below_corrected_p"].mean()
    return [
        (name, value, len(scores), of, text)
        for name, value, text in zip(measures, values, notes)
    ]
