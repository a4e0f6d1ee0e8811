"""From a plate to a decision: the command, its tables, and the first sentence."""

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stratonet_cli
from stratonet.tables.reading import FeatureTable
from stratonet_sklearn.evaluation.columns import find_groups
from stratonet_sklearn.evaluation.doses import Curve
from stratonet_sklearn.report.checks import _check_example
from stratonet_sklearn.report.controls import build_controls
from stratonet_sklearn.report.data import ReportData, Treatments
from stratonet_sklearn.report.doses import build_doses
from stratonet_sklearn.report.headline import build_headline
from stratonet_sklearn.report.hits import build_hits, word_limits
from stratonet_sklearn.report.likeness import build_likeness
from stratonet_sklearn.report.report import write_report
from stratonet_sklearn.report.section import Answer, Caution, Numbers, Plot, Table

DOSES = [0.1, 0.3, 1, 3, 10, 30]
EC50 = 2.0


def make_screen(seed=0, n_plates=1):
    """A plate of controls, and of two compounds in six doses and four wells each."""
    rng = np.random.default_rng(seed)
    contents = [("DMSO", "", "negcon")] * 24 + [("kill", "", "poscon")] * 12
    for compound in ("real", "sugar"):
        contents += [(compound, f"{dose:g}", "trt") for dose in DOSES for _ in range(4)]
    contents += [("", "", "empty")] * (96 - len(contents))
    frames = []
    for plate in range(n_plates):
        wells = [f"{'ABCDEFGH'[n % 8]}{n // 8 + 1:02d}" for n in rng.permutation(96)]
        frame = pd.DataFrame(contents, columns=["compound", "dose", "role"])
        frame.insert(0, "Metadata_Plate", f"P{plate}")
        frame.insert(1, "Metadata_Well", wells)
        frames.append(frame)
    rows = pd.concat(frames, ignore_index=True)
    doses = pd.to_numeric(rows["dose"]).fillna(0).to_numpy()
    strength = np.where(
        rows["compound"] == "real", Curve(0, 1, np.log10(EC50), 1.5).predict(doses), 0
    )
    strength[rows["compound"] == "kill"] = 1
    names = [
        f"StratoFeatures_{tap}{n:04d}_{c}"
        for c in ("DNA", "ER")
        for tap in ("Low", "High")
        for n in range(40)
    ]
    values = rng.normal(size=(len(rows), len(names)))
    values[:, :40] += 5 * strength[:, None]
    return rows, pd.DataFrame(values, columns=names)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """The command on features without metadata, and a map that comes late."""
    folder = tmp_path_factory.mktemp("screen")
    rows, features = make_screen()
    keys = ["Metadata_Plate", "Metadata_Well"]
    wrong = rows[keys].assign(Metadata_compound="wrong")
    pd.concat([wrong, features], axis=1).to_parquet(folder / "features.parquet")
    plate_map = rows.rename(columns={"Metadata_Well": "Well", "dose": "dose_uM"})
    plate_map.drop(columns="Metadata_Plate").to_excel(folder / "map.xlsx", index=False)
    command = [
        "evaluate",
        f"Deep={folder / 'features.parquet'}",
        "--compound",
        "compound",
    ]
    command += ["--dose", "dose_um", "--metadata", str(folder / "map.xlsx")]
    command += ["--output", str(folder / "report"), "--quiet"]
    assert stratonet_cli.main(command) == 0
    return folder


@pytest.mark.slow
def test_the_first_sentence_is_that_of_the_tables(evaluated):
    page = html.unescape((evaluated / "report" / "report.html").read_text())
    numbers = evaluated / "report" / "numbers"
    controls = pd.read_csv(numbers / "controls.csv")
    doses = pd.read_csv(numbers / "doses.csv").query("response == 'axis'")
    real = doses.set_index("compound").loc["real"]
    wells = pd.read_csv(numbers / "controls_wells.csv").set_index("role")["axis"]
    negative, positive = wells["negative control"], wells["positive control"]
    spread = negative.std() + positive.std()
    z_prime = 1 - 3 * spread / (positive.mean() - negative.mean())
    assert controls.z_prime[0] == pytest.approx(z_prime) and z_prime > 0.5
    assert real.low < EC50 < real.high
    sentence = f"The assay works (Z' {z_prime:.2f} on one plate); 1 of 2 compounds"
    sentence += " differs from the controls ("
    assert sentence in page
    ec50 = re.search(r"real's EC50 is ([\d.]+) µM \(([\d.]+)–([\d.]+)\)", page)
    found = [float(number) for number in ec50.groups()]
    assert found == pytest.approx([real.ec50, real.low, real.high], rel=0.05)
    # It is the first that is read.
    assert page.index(sentence) < page.index("No column of classes was given")
    assert "24 rows with negcon in Metadata_role are taken as negative controls" in page
    assert "joined by well, 96 of 96 rows" in page
    assert "Metadata_compound was replaced; 96 rows had another" in page


@pytest.mark.slow
def test_every_row_of_the_hits_says_where_its_wells_are(evaluated):
    rows, _ = make_screen()
    hits = pd.read_csv(evaluated / "report" / "numbers" / "hits.csv")
    assert (hits.plates == "P0").all() and len(hits) == 13
    for hit in hits.itertuples():
        of_hit = rows[(rows["compound"] == hit.compound) & (rows["role"] != "empty")]
        if hit.role == "treatment":
            of_hit = of_hit[pd.to_numeric(of_hit["dose"]) == float(hit.dose)]
        assert sorted(hit.wells.split()) == sorted(of_hit["Metadata_Well"])
    active = hits[hits.active]
    assert set(active.compound) == {"real"} and (active.dose.astype(float) >= 1).all()
    figures = {path.name for path in (evaluated / "report" / "figures").iterdir()}
    assert {"controls.png", "hits.png", "doses.png", "likeness.png"} <= figures


@pytest.mark.slow
def test_the_same_in_python(evaluated):
    report = write_report(
        {"Deep": evaluated / "features.parquet"},
        evaluated / "again",
        treatments=Treatments(
            compound="compound", control=("role", "negcon"), positive=("role", "poscon")
        ),
        metadata=evaluated / "map.xlsx",
        progress=False,
    )
    numbers = evaluated / "again" / "numbers"
    assert report.page.read_text() == Path(report).read_text()
    for name in ("controls", "hits"):
        written = pd.read_csv(numbers / f"{name}.csv")
        found = getattr(report, name)
        assert list(written) == list(found) and len(written) == len(found)
    p = pd.read_csv(numbers / "hits.csv")["p"]
    np.testing.assert_allclose(p, report.hits["p"])
    assert report.doses.empty and not (numbers / "doses.csv").exists()


def make_data(rows, features, **options):
    rows = rows.rename(
        columns={name: f"Metadata_{name}" for name in ("compound", "dose", "role")}
    )
    frame = pd.concat([rows, features], axis=1)
    table = FeatureTable("Deep", "deep.parquet", frame, list(features))
    role = rows["Metadata_role"]
    given = {
        "treatments": Treatments(compound="Metadata_compound", dose="Metadata_dose"),
        "controls": (role == "negcon").to_numpy(),
        "positive": (role == "poscon").to_numpy(),
    }
    return ReportData([table], rows, **{**given, **options})


@pytest.fixture(scope="module")
def data():
    """Shared by tests, as by the sections, of which none changes it."""
    return make_data(*make_screen())


def select(content, kind):
    return [block for block in content.blocks if isinstance(block, kind)]


def read_answer(data):
    return select(build_headline(data), Answer)[0].text


def test_without_controls_nothing_is_claimed():
    data = make_data(*make_screen(), controls=None, positive=None)
    assert read_answer(data) == (
        "It is unclear whether the assay works: no negative and no positive controls"
        " are known; no treatment can be tested without negative controls to compare"
        " with."
    )
    assert build_controls(data) is None and build_likeness(data) is None
    hits = build_hits(data)
    assert "Not tested (no negative controls): 14" in " ".join(
        block.text for block in hits.blocks if hasattr(block, "text")
    )


def test_of_one_replicate_none_is_tested():
    rows, features = make_screen()
    first = ~rows.duplicated(["compound", "dose"]) | (rows["role"] != "trt")
    data = make_data(
        rows[first].reset_index(drop=True), features[first].reset_index(drop=True)
    )
    assert (
        "no treatment can be tested, as each has only one well (farthest from the"
        in (read_answer(data))
    )
    assert build_doses(data) is not None and build_likeness(data) is None


def test_positive_controls_alone_cost_the_axis_only():
    data = make_data(*make_screen(), positive=None)
    # Nobody says that one of the compounds is a control.
    assert "no positive controls are known; 2 of 3 compounds differ" in read_answer(
        data
    )
    doses = select(build_doses(data), Numbers)[0].frame
    assert set(doses["response"]) == {"distance"}


def test_few_objects_and_limits_are_said():
    rows, features = make_screen()
    features["Image_Count_Nuclei"] = np.where(rows["compound"] == "real", 20.0, 100.0)
    content = build_hits(make_data(rows, features))
    cautions = [block.text for block in select(content, Caution)]
    assert any("less than 50% of the objects" in text for text in cautions)
    table = select(content, Table)[0].frame
    assert table.loc[0, "Objects"] == "20%"
    hits = select(content, Numbers)[0].frame
    few = hits.assign(smallest_p=0.02)
    assert "no treatment is called active unless 5 reach it" in word_limits(few)[0]
    assert (
        "no treatment can be called active"
        in word_limits(few.assign(smallest_p=0.2))[0]
    )


def test_a_well_of_two_compounds_leaves_the_rest():
    rows, features = make_screen()
    rows["Metadata_Well"] = "A01"
    data = make_data(rows, features)
    caution = select(build_headline(data), Caution)[0].text
    assert "were not evaluated: The rows of a well must have" in caution
    assert build_controls(data) is build_hits(data) is build_doses(data) is None


def test_many_plates():
    rows, features = make_screen(n_plates=14)
    data = make_data(rows, features)
    text = read_answer(data)
    assert re.match(r"The assay works \(median Z' 0.\d\d on 14 plates", text)
    assert "1 of 2 compounds differs from the controls" in text
    table = select(build_controls(data), Table)[0]
    assert len(table.frame) == 12 and "the 12 worst of 14" in table.caption


@pytest.mark.parametrize(
    "flags, told",
    [
        (["--negcon", "a=b", "--negcon-wells", "A01"], "not allowed with"),
        (["--negcon-wells", "A01-B02"], "Name single wells like A01"),
        (["--poscon", "role"], "expected COLUMN=VALUE"),
    ],
)
def test_flags_that_are_refused(flags, told, capsys):
    with pytest.raises(SystemExit) as stopped:
        stratonet_cli.main(["evaluate", "a.csv", "--output", "x", *flags])
    assert stopped.value.code == 2 and told in capsys.readouterr().err


def test_rows_and_columns_of_the_plate_are_groups():
    rows = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": ["a1", "B12", "?"]})
    assert find_groups(rows, "row").tolist() == ["A", "B", ""]
    assert find_groups(rows, "Metadata_Column").tolist() == ["1", "12", ""]
    # A column of that name goes before what the names of wells say.
    assert find_groups(rows.assign(Metadata_Row="x"), "ROW").tolist() == ["x"] * 3
    with pytest.raises(ValueError, match="no column rows"):
        find_groups(rows, "rows")


def test_a_hit_is_shown_by_the_well_in_its_middle_beside_a_control():
    rows, features = make_screen(n_plates=2)
    data = make_data(rows, features)
    screen = data.compound_screen
    wells = screen.wells.rows.assign(distance=screen.responses["distance"])
    content = build_hits(data)
    pictured = select(content, Table)[0].pictured
    assert len(pictured) == len(screen.hits)
    for hit, shown in zip(screen.hits.itertuples(), pictured.itertuples()):
        of_plate = wells[wells["plate"] == shown.plate].set_index("well")
        of_hit = wells[
            (wells["compound"] == hit.compound) & (wells["dose"] == hit.dose)
        ]
        distances = sorted(of_hit["distance"])
        middle = distances[(len(distances) - 1) // 2]
        assert of_plate.loc[shown.well, "distance"] == middle
        controls = of_plate[of_plate["negative"]]
        nearer = controls["distance"] < controls.loc[shown.control, "distance"]
        assert nearer.sum() == (len(controls) - 1) // 2
    (scatter,) = select(content, Plot)
    of_scatter = scatter.wells[["plate", "well"]]
    assert (
        of_scatter.to_numpy().tolist()
        == pictured[["plate", "well"]].to_numpy().tolist()
    )


def test_doses_beside_fractions_are_written_without_a_point():
    rows, features = make_screen()
    data = make_data(rows.assign(dose=pd.to_numeric(rows["dose"])), features)
    assert {"real 10", "real 0.3"} <= set(data.compound_screen.hits["treatment"])


def read_floats(texts):
    return [float(text.split(" ")[0].strip("%")) if text else np.nan for text in texts]


def test_tables_on_the_page_are_those_of_the_files(data):
    content = build_hits(data)
    table, hits = select(content, Table)[0].frame, select(content, Numbers)[0].frame
    assert table["Treatment"].tolist() == hits["treatment"].tolist()
    for shown, column in {
        "p, corrected": "corrected_p",
        "Distance": "distance",
        "Axis": "axis",
        "mAP (by chance)": "mean_average_precision",
    }.items():
        np.testing.assert_allclose(
            read_floats(table[shown]), hits[column], rtol=0.06, atol=0.006
        )
    assert (table["Active"] == "yes").tolist() == hits["active"].tolist()
    content = build_doses(data)
    table, doses = select(content, Table)[0].frame, select(content, Numbers)[0].frame
    ec50 = read_floats(table["EC50 (95% interval)"])
    np.testing.assert_allclose(ec50, doses["ec50"], rtol=0.06)
    assert table["No EC50, because"].tolist() == doses["note"].tolist()
    content = build_controls(data)
    table, plates = select(content, Table)[0].frame, select(content, Numbers)[0].frame
    z_prime = read_floats(table["Z' (95% interval)"])
    np.testing.assert_allclose(z_prime, plates["z_prime"], atol=0.006)
    drift, table = select(content, Numbers)[2].frame, select(content, Table)[1].frame
    assert table["Negative controls by"].tolist() == drift["factor"].tolist()


@pytest.mark.parametrize(
    "section", [build_headline, build_controls, build_hits, build_doses, build_likeness]
)
def test_sections_keep_the_contract_where_all_is_there(section, data):
    _check_example(section, data)
