"""How well profiles of wells find those of the same treatment or mechanism."""

import numpy as np
import pandas as pd
import pytest
from screen_tables import WELLS, draw_sites
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from stratonet_sklearn.evaluation.profiles import Profiles, make_profiles
from stratonet_sklearn.evaluation.retrieval import score_retrieval


def profiles(values, control=None, **metadata):
    """Profiles of these values (n wells, n features), as `make_profiles` gives them."""
    names = [f"f{number}" for number in range(np.shape(values)[1])]
    frame = pd.DataFrame(
        {f"Metadata_{name}": column for name, column in metadata.items()}
    )
    return Profiles(
        pd.concat([frame, pd.DataFrame(values, columns=names)], axis=1),
        names,
        control,
        [],
    )


def scores(*arguments, **options):
    return score_retrieval(*arguments, **options).set_index("measure")


def layout(plates=4, controls=24, mechanisms=4, compounds=4, replicates=3, batches=2):
    """Metadata of a screen.

    Controls in the same wells of all plates, each compound on the plates of one batch.
    """
    rows = [
        (f"P{plate}", WELLS[well], "", "DMSO")
        for plate in range(plates)
        for well in range(controls)
    ]
    for number in range(mechanisms * compounds):
        for replicate in range(replicates):
            plate = number % batches + batches * (replicate % (plates // batches))
            well = WELLS[controls + number * replicates + replicate]
            rows.append((f"P{plate}", well, f"M{number // compounds}", f"C{number}"))
    frame = pd.DataFrame(rows, columns=["Plate", "Well", "Mechanism", "Compound"])
    frame["Batch"] = "B" + (frame.Plate.str[1:].astype(int) % batches).astype(str)
    return frame, (frame.Compound == "DMSO").to_numpy()


def precision(similarity, ask, alike, unlike):
    """Average precision of one row by scikit-learn, NaN if there are no pairs."""
    if not alike.any() or not unlike.any():
        return np.nan
    asked = alike | unlike
    return average_precision_score(alike[asked], similarity[ask, asked])


def draw_chance(rng, n_alike, n_unlike):
    """Average precision of lists in random order, the mean of 1,000."""
    ranks = [
        1 + np.flatnonzero(rng.permutation(n_alike + n_unlike) < n_alike)
        for _ in range(1000)
    ]
    return (np.arange(1, n_alike + 1) / ranks).mean()


def test_perfect_profiles_score_one():
    wells, control = layout()
    codes = [f"{row.Mechanism or row.Well}" for row in wells.itertuples()]
    values = pd.get_dummies(codes).to_numpy(float) + np.random.default_rng(0).normal(
        0, 0.01, (len(wells), 1)
    )
    found = scores(
        profiles(values, control, **wells),
        "Metadata_Mechanism",
        "Metadata_Compound",
        batch="Metadata_Batch",
    )
    assert list(found.index[:2]) == ["NSC", "NSCB"] and len(found) == 8
    assert found.value.tolist() == [1] * 8
    assert found.n.tolist() == found.of.tolist() == [16, 16, 16, 16, 4, 4, 24, 24]


@pytest.mark.slow
def test_random_profiles_score_chance():
    rng = np.random.default_rng(1)
    wells, control = layout(compounds=40, replicates=2)
    made = profiles(rng.normal(size=(len(wells), 30)), control, **wells)
    found = scores(
        made, "Metadata_Mechanism", "Metadata_Compound", batch="Metadata_Batch"
    )
    assert (
        abs(found.value["NSC"] - 39 / 159) < 4 * np.sqrt(0.25 * 0.75 / 160)
        and "chance 0.245" in found.note["NSC"]
    )
    assert (
        abs(found.value["NSCB"] - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 160)
        and "chance 0.250" in found.note["NSCB"]
    )
    for measure, n_alike, n_unlike in (
        ("replicate", 1, 72),
        ("mechanism", 39, 120),
        ("position", 3, 69),
    ):
        chance = draw_chance(rng, n_alike, n_unlike)
        assert float(
            found.note[f"{measure} mAP"].split("by chance ")[1][:5]
        ) == pytest.approx(chance, abs=0.02)
        assert found.value[f"{measure} mAP"] == pytest.approx(chance, abs=0.05)
        assert found.value[f"{measure} retrieved"] <= 0.05


def test_neighbours_of_the_batch_alone_are_not_neighbours_in_others():
    # In the second batch the mechanisms look the other way round; batches look a little
    # different.
    rows = [
        (batch, mechanism, copy)
        for batch in range(2)
        for mechanism in range(2)
        for copy in range(2)
    ]
    values = np.eye(2)[[batch ^ mechanism for batch, mechanism, _ in rows]]
    values = np.hstack([values, [[0.3 * (1 - 2 * batch)] for batch, _, _ in rows]])
    made = profiles(
        values,
        Plate=[f"P{batch}" for batch, _, _ in rows],
        Well=WELLS[: len(rows)],
        Mechanism=[f"M{mechanism}" for _, mechanism, _ in rows],
        Compound=[f"C{number}" for number in range(len(rows))],
    )
    found = scores(made, "Metadata_Mechanism", "Metadata_Compound")
    assert found.value["NSC"] == 1 and found.value["NSCB"] == 0 and found.n["NSCB"] == 8
    assert "share no plate" in found.note["NSCB"]


def test_same_as_loops():
    rng = np.random.default_rng(2)
    wells, control = layout(controls=5, mechanisms=5, compounds=3, replicates=4)
    wells["Dose"] = [str(number // 2 % 2) for number in range(len(wells))]
    wells.loc[wells.Compound == "C3", "Mechanism"] = ""
    wells.loc[wells.Mechanism == "M2", "Mechanism"] = (
        wells.Compound
    )  # of one compound each
    wells.loc[wells.Compound == "C9", "Compound"] = None
    values = (
        rng.normal(size=(len(wells), 6))
        + pd.get_dummies(wells.Mechanism).to_numpy(float)[:, :6]
    )
    names = {
        "label": "Metadata_Mechanism",
        "compound": "Metadata_Compound",
        "dose": "Metadata_Dose",
    }
    found = scores(profiles(values, control, **wells), **names, batch="Metadata_Batch")

    treated = ~control & wells.Compound.notna().to_numpy()
    groups = list(wells[treated].groupby(["Compound", "Dose"]).groups.items())
    consensus = np.array([np.median(values[rows], axis=0) for _, rows in groups])
    labels = [wells.Mechanism[rows[0]] for _, rows in groups]
    batches = [set(wells.Batch[rows]) for _, rows in groups]
    for measure, of_batch in (("NSC", False), ("NSCB", True)):
        right = []
        for number, ((compound, _), _) in enumerate(groups):
            others = [
                other
                for other, ((name, _), _) in enumerate(groups)
                if labels[other]
                and name != compound
                and not (of_batch and batches[other] & batches[number])
            ]
            if labels[number] in [labels[other] for other in others]:
                similarity = cosine_similarity(consensus[[number]], consensus[others])[
                    0
                ]
                right.append(labels[others[similarity.argmax()]] == labels[number])
        assert 0 < np.mean(right) < 1 and found.value[measure] == pytest.approx(
            np.mean(right)
        )
        assert (found.n[measure], found.of[measure]) == (
            len(right),
            len(groups),
        ) and len(right) < len(groups)
    assert (
        "Left out: 2 without a mechanism, 6 with none of their mechanism"
        in found.note["NSC"]
    )

    similarity, plate, well = (
        cosine_similarity(values),
        wells.Plate.to_numpy(),
        wells.Well.to_numpy(),
    )
    treatment = (wells.Compound + wells.Dose).to_numpy()
    by_well = [
        precision(
            similarity,
            row,
            treated & (treatment == treatment[row]) & (plate != plate[row]),
            control & (plate != plate[row]),
        )
        for row in np.flatnonzero(treated)
    ]
    assert found.value["replicate mAP"] == pytest.approx(
        pd.Series(by_well).groupby(treatment[treated]).mean().mean()
    )
    by_well = [
        precision(
            similarity,
            row,
            control & (well == well[row]) & (plate != plate[row]),
            control & (well != well[row]) & (plate != plate[row]),
        )
        for row in np.flatnonzero(control)
    ]
    assert found.value["position mAP"] == pytest.approx(np.mean(by_well))

    labelled = wells[treated & (wells.Mechanism != "")].groupby("Compound")
    similarity = cosine_similarity(
        [np.median(values[rows], axis=0) for rows in labelled.groups.values()]
    )
    labels, numbers = labelled.Mechanism.first().to_numpy(), np.arange(labelled.ngroups)
    by_compound = [
        precision(
            similarity,
            row,
            (labels == labels[row]) & (numbers != row),
            labels != labels[row],
        )
        for row in numbers
    ]
    expected = pd.Series(by_compound).groupby(labels).mean().dropna()
    assert found.value["mechanism mAP"] == pytest.approx(expected.mean())
    assert (found.n["mechanism mAP"], found.of["mechanism mAP"]) == (
        len(expected),
        len(set(labels)),
    )


def test_replicates_of_one_plate_are_standardized_with_its_controls():
    rng = np.random.default_rng(3)
    wells, control = layout(plates=2, controls=6)
    values = (
        rng.normal(size=(len(wells), 20))
        + 3 * (wells.Plate == "P1").to_numpy()[:, None]
    )
    values += pd.get_dummies(wells.Compound).to_numpy(float) @ rng.normal(size=(17, 20))
    plate, compound = wells.Plate.to_numpy(), wells.Compound.to_numpy()
    scaled = np.empty_like(values)
    for one in ("P0", "P1"):
        scaled[plate == one] = (
            values[plate == one] - values[plate == one].mean(axis=0)
        ) / values[plate == one].std(axis=0)
    similarity, other = cosine_similarity(scaled), ~np.eye(len(wells), dtype=bool)
    for known in (True, False):
        kept = ~control if known else np.ones(len(wells), bool)
        expected = [
            precision(
                similarity,
                row,
                (compound == compound[row]) & (plate == plate[row]) & other[row],
                (control if known else compound != compound[row])
                & (plate == plate[row]),
            )
            for row in np.flatnonzero(kept)
        ]
        found = scores(
            profiles(values, control if known else None, **wells),
            None,
            "Metadata_Compound",
        )
        expected = pd.Series(expected).groupby(compound[kept]).mean()
        assert 0.3 < expected.mean() < 0.95 and found.value[
            "replicate mAP"
        ] == pytest.approx(expected.mean())
        assert found.n["replicate mAP"] == len(expected) == 16 + (not known)
        said = (
            "among negative controls on the same"
            if known
            else "no negative controls are known, on the same"
        )
        assert said in found.note["replicate mAP"]
    on_one = control & (plate == "P1")
    kept = on_one | ~control
    found = scores(
        profiles(values[kept], on_one[kept], **wells[kept].reset_index(drop=True)),
        None,
        "Metadata_Compound",
    )
    assert (found.n["replicate mAP"], found.of["replicate mAP"]) == (8, 16)
    assert "Left out, with nothing to find: 8" in found.note["replicate mAP"]


def test_positions_that_are_seen():
    rng = np.random.default_rng(3)
    wells, control = layout(plates=3, batches=3)
    values = (
        rng.normal(size=(len(wells), 20))
        + 3 * rng.normal(size=(3, 20))[wells.Plate.str[1:].astype(int)]
    )
    effect = pd.get_dummies(wells.Well).to_numpy(float) @ rng.normal(
        size=(wells.Well.nunique(), 20)
    )
    for strength, low, high in ((0, 0, 0.3), (6, 0.7, 1)):
        found = scores(
            profiles(values + strength * effect, control, **wells),
            None,
            "Metadata_Compound",
        )
        assert low <= found.value["position mAP"] <= high
        assert (found.value["position retrieved"] > 0.5) == (strength > 0)


@pytest.mark.slow
def test_what_cannot_be_computed_is_explained():
    wells, control = layout()
    values = np.random.default_rng(4).normal(size=(len(wells), 5))

    def unscored(
        measures, message, kept=slice(None), label="Metadata_Mechanism", **changed
    ):
        part = wells.assign(**changed)[kept].reset_index(drop=True)
        known = None if isinstance(kept, slice) and kept.stop else control[kept]
        found = scores(
            profiles(values[kept], known, **part), label, "Metadata_Compound"
        )
        assert len(found) == 8 and (found.note.str.len() > 0).all()
        rows = found[[name.startswith(measures) for name in found.index]]
        assert (
            rows.value.isna().all()
            and (rows.n == 0).all()
            and rows.note.str.contains(message).all()
        ), rows

    unscored(("NSC", "mechanism"), "no column of them was named", label=None)
    unscored(("NSC", "mechanism"), "or it is empty", Mechanism="")
    unscored(("NSC", "mechanism"), "Received several for C0", Mechanism=wells.Well)
    unscored(
        ("NSC", "mechanism"),
        "none of|No treatment has one|two compounds or more",
        Mechanism=wells.Compound,
    )
    unscored("NSCB", "share no plate with them", Plate="P1")
    unscored("position", "Received: negative controls on one plate", Plate="P1")
    unscored(
        "position", "in the same wells of two plates", Well=wells.Plate + wells.Well
    )
    unscored(
        "replicate",
        "two wells or more",
        Compound=wells.Compound.where(control, wells.Plate + wells.Well),
    )
    unscored(("NSC", "replicate", "mechanism"), ".", control)
    unscored("position", "Received: no negative controls", ~control)
    unscored(("NSC", "replicate", "mechanism", "position"), ".", slice(0, 1))
    with pytest.raises(
        ValueError,
        match=(
            "no column Metadata_Moa, Metadata_Day.*Received: Metadata_Plate,"
            " Metadata_Well"
        ),
    ):
        score_retrieval(
            profiles(values, control, **wells),
            "Metadata_Moa",
            "Metadata_Compound",
            batch="Metadata_Day",
        )


def test_same_again_quiet_and_nothing_written_to_the_home(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HOME", str(tmp_path))
    wells, control = layout()
    made = profiles(
        np.random.default_rng(5).normal(size=(len(wells), 4)), control, **wells
    )
    first = score_retrieval(made, "Metadata_Mechanism", "Metadata_Compound")
    pd.testing.assert_frame_equal(
        first, score_retrieval(made, "Metadata_Mechanism", "Metadata_Compound")
    )
    assert not any(tmp_path.iterdir()) and capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("plates", [1, 2])
def test_wide_table_of_treatments_without_an_effect(plates):
    metadata, features, control = draw_sites(
        640, plates=plates, sites=1, columns="StratoFeatures_High{:04d}_DNA"
    )
    metadata["Metadata_Compound"] = [
        f"C{number % 5}" for number in range(len(metadata))
    ]
    made = make_profiles(metadata, features, control)
    found = scores(made, None, "Metadata_Compound")
    assert (
        "not sphered: this takes at least 1,2" in " ".join(made.steps)
        and len(made.features) > 600
    )
    assert found.value["replicate retrieved"] == 0 and found.n["replicate mAP"] == 5
    chance = float(found.note["replicate mAP"].split("by chance ")[1][:5])
    assert found.value["replicate mAP"] == pytest.approx(chance, abs=0.1)
