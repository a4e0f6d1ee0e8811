"""The report.

Its numbers against a second computation, its words against what is known of the data.
"""

import re
from shutil import copytree

import joblib
import numpy as np
import pandas as pd
import pytest
import tifffile
from page_numbers import forget_constants, list_expected, read_texts
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score, f1_score

import stratonet_cli
from stratonet.extraction.sources.imagesets import ImageSource
from stratonet.extraction.sources.read import read_source
from stratonet_sklearn.evaluation.classification import CLASSIFIERS
from stratonet_sklearn.report import data, report
from stratonet_sklearn.report import page as page_module
from stratonet_sklearn.report.correlation import build_correlation
from stratonet_sklearn.report.data import Split, Treatments
from stratonet_sklearn.report.pictures import read_pictures
from stratonet_sklearn.report.report import write_report
from stratonet_sklearn.report.section import Numbers

# What all its tests share takes long.
pytestmark = pytest.mark.slow

CLASSES = ["mock", "poison", "tonic"]


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Small data.

    Starting processes, and growing 200 trees, would take longer than all else.
    """
    with joblib.parallel_config("sequential"), pytest.MonkeyPatch.context() as patch:
        patch.setitem(CLASSIFIERS, "RF", RandomForestClassifier(30, random_state=0))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def rows():
    """Two plates of 8 x 6 wells with two sites.

    Each class in every row and column of the plates.
    """
    sites = pd.MultiIndex.from_product(
        [["p1", "p2"], list("ABCDEFGH"), range(1, 7), [1, 2]]
    ).to_frame(index=False)
    sites.columns = ["plate", "row", "column", "site"]
    number = sites.row.map("ABCDEFGH".index)
    kind = (number + sites.column) % 3
    return pd.DataFrame(
        {
            "Metadata_Plate": sites.plate,
            "Metadata_Well": sites.row + sites.column.map("{:02d}".format),
            "Metadata_Site": sites.site,
            "Metadata_Row": sites.row,
            "Metadata_Batch": np.where(sites.plate == "p1", "b1", ""),
            "Metadata_Mechanism": kind.map(dict(enumerate(CLASSES))),
            "Metadata_Compound": np.where(
                kind == 0,
                "DMSO",
                kind.map(dict(enumerate("xyz"))) + (number % 2).astype(str),
            ),
        }
    )


@pytest.fixture(scope="module")
def tables(folder, rows):
    """Deep features separate the classes well, measured ones hardly."""
    rng = np.random.default_rng(0)
    told = (rows.Metadata_Mechanism.to_numpy()[:, None] == CLASSES).astype(float)
    well = rows.groupby(["Metadata_Plate", "Metadata_Well"]).ngroup()

    def features(names, strength):
        of_well, of_site = (
            rng.normal(size=(well.max() + 1, len(names))),
            rng.normal(size=(len(rows), len(names))),
        )
        values = of_well[well] + 0.3 * of_site
        values[:, :3] += strength * told
        return pd.DataFrame(values, columns=names)

    taps = [
        f"StratoFeatures_{tap}{n:04d}_{c}"
        for c in ("DNA", "ER")
        for tap in ("Low", "High")
        for n in range(8)
    ]
    deep = pd.concat([rows, features(taps, 3)], axis=1)
    deep["Metadata_StratoFeatures"] = "net-1-0123456789ab"
    deep.to_parquet(folder / "deep.parquet")
    measured = [
        f"{where}_Texture_{n:02d}" for where in ("Cells", "Nuclei") for n in range(10)
    ]
    pd.concat([rows, features(measured, 0.7)], axis=1).to_csv(
        folder / "measured.csv", index=False
    )
    return {"Deep": folder / "deep.parquet", "Measured": folder / "measured.csv"}


@pytest.fixture(scope="module")
def page(folder, tables):
    path = write_report(
        tables,
        folder / "out",
        treatments=Treatments(
            label="mechanism",
            compound="Metadata_Compound",
            control=("compound", "DMSO"),
        ),
        split=Split(group="row", n_folds=4),
        command="stratonet evaluate --of this",
        progress=False,
    )
    return path.page.read_text()


@pytest.fixture
def numbers(folder, page):
    return lambda name: pd.read_csv(folder / "out" / "numbers" / f"{name}.csv")


def test_scores_are_those_of_the_predictions(numbers):
    predictions, scores = numbers("predictions"), numbers("scores")
    assert len(predictions) == 192
    for features in ("Deep", "Measured"):
        for classifier in ("SVM", "RF", "MLP"):
            told = predictions[f"{features} {classifier}"]
            of = scores[
                (scores.features == features) & (scores.classifier == classifier)
            ]
            balanced = of[
                (of.test == "balanced") & (of.metric == "accuracy")
            ].value.item()
            assert balanced == pytest.approx(
                balanced_accuracy_score(predictions.label, told)
            )
            f1 = of[
                (of.test == "as found") & (of.metric == "F1") & (of.average == "macro")
            ].value.item()
            assert f1 == pytest.approx(
                f1_score(predictions.label, told, average="macro")
            )


def test_nothing_of_a_group_was_seen(numbers, rows):
    predictions = numbers("predictions")
    assert (predictions.groupby("Metadata_Row").fold.nunique() == 1).all()
    assert predictions.label.tolist() == rows.Metadata_Mechanism.tolist()


def test_confusion_is_that_of_the_predictions(numbers):
    predictions, confusion = numbers("predictions"), numbers("confusion")
    of = confusion[(confusion.features == "Measured") & (confusion.classifier == "MLP")]
    expected = pd.crosstab(predictions.label, predictions["Measured MLP"])
    assert np.array_equal(
        of.pivot(index="true", columns="told", values="rows"), expected
    )


def test_the_answer_says_what_the_scores_say(page, numbers):
    predictions = numbers("predictions")
    deep, measured = (
        balanced_accuracy_score(predictions.label, predictions[f"{n} SVM"])
        for n in ("Deep", "Measured")
    )
    assert deep > measured + 0.1
    headline, *answer = re.findall(
        r"<p>(.*?)</p>", page.partition('class="answer"')[2].partition("</div>")[0]
    )
    assert headline == (
        "It is unclear whether the assay works: no positive controls are known; 3 of 4"
        " treatments differ from the controls."
    )
    assert len(answer) == 3
    assert f"Deep features, the SVM has a balanced accuracy of {deep:.1%}:" in answer[0]
    assert (
        f"Deep minus Measured ({measured:.1%}) is {100 * (deep - measured):+.1f} points"
        " (95% interval" in answer[1]
    )
    mistakes = pd.crosstab(
        predictions.label, predictions["Deep SVM"], normalize="index"
    ).to_numpy(copy=True)
    np.fill_diagonal(mistakes, 0)
    true, told = np.unravel_index(mistakes.argmax(), mistakes.shape)
    assert (
        f"{mistakes.max():.0%} of {CLASSES[true]} are classified as {CLASSES[told]}"
        in answer[2]
    )


def test_every_number_on_the_page_is_that_of_the_tables(page, numbers, rows):
    """Each is computed anew from the CSV files; none is left that was not."""
    texts = read_texts(page)
    for expected in list_expected(numbers, rows):
        assert expected in texts, (expected, texts[:60])
        texts.remove(expected)
    left = [text for text in texts if re.search(r"\d", forget_constants(text))]
    assert left == []


def test_plates_show_the_shares_of_votes(numbers):
    plates, predictions = numbers("plates"), numbers("predictions")
    expected = predictions.groupby(["Metadata_Plate", "Metadata_Well"])[
        "Deep share of votes poison"
    ].mean()
    assert plates.poison.tolist() == pytest.approx(expected.tolist())


def test_importance_is_summed_by_part(numbers):
    parts = numbers("importance_by_part")
    assert parts.groupby(
        ["features", "classifier"]
    ).share.sum().tolist() == pytest.approx([1, 1, 1, 1])
    assert set(parts[parts.features == "Deep"].part) == {
        "DNA low",
        "DNA high",
        "ER low",
        "ER high",
    }
    assert set(parts[parts.features == "Measured"].part) == {
        "Cells Texture",
        "Nuclei Texture",
    }
    deep = (
        parts[(parts.features == "Deep") & (parts.classifier == "RF")]
        .set_index("part")
        .share
    )
    assert deep.idxmax() == "DNA low"  # where the three features are that tell


def test_variance_by_another_way(numbers, tables):
    values = pd.read_csv(tables["Measured"]).filter(like="_Texture_")
    eigenvalues = np.linalg.eigvalsh(values.corr())[::-1]
    found = numbers("variance").query("features == 'Measured'").variance
    assert found.tolist() == pytest.approx((eigenvalues / eigenvalues.sum()).tolist())


def test_correlation_by_another_way(numbers, tables):
    found = numbers("correlation")
    keys = ["Metadata_Plate", "Metadata_Well"]
    deep = pd.read_parquet(tables["Deep"]).groupby(keys).median(numeric_only=True)
    measured = pd.read_csv(tables["Measured"]).groupby(keys).median(numeric_only=True)
    assert len(found) == 32 * 20
    for row in found.sample(20, random_state=0).itertuples():
        assert row.rho == pytest.approx(
            deep[row.first].rank().corr(measured[row.second].rank())
        )
    # Benjamini and Hochberg: the largest p under its line, and all below it.
    p = np.sort(found.p)
    under = np.flatnonzero(p <= 0.05 * np.arange(1, len(p) + 1) / len(p))
    assert found.significant.sum() == (under[-1] + 1 if len(under) else 0)
    assert not found[found.rho.abs() < 0.1].significant.any()


def test_retrieval_is_computed_for_all_sets(numbers):
    found = numbers("retrieval").set_index(["features", "measure"]).value
    assert found["Deep", "NSC"] == 1
    assert found["Deep", "replicate mAP"] > found["Measured", "replicate mAP"]
    assert np.isfinite(found["Deep", "position mAP"])


def test_the_page_needs_nothing_else(page, folder):
    # The files beside it are those of the links to single figures alone.
    html = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    known = r"data:image/png;base64,|#|figures/\w+\.png\""
    assert not re.search(rf"(src|href)=\"(?!{known})", html)
    assert "default-src &#39;none&#39;" in html
    shown = re.findall(r'<img src="data:image/png;base64,[\w+/=]+" alt="([^"]+)"', page)
    assert len(shown) >= 9 and all(len(text) > 40 for text in shown)
    figures = {path.stem for path in (folder / "out" / "figures").glob("*.png")}
    assert {
        "scores",
        "differences",
        "confusion_SVM",
        "confusion_RF",
        "confusion_MLP",
        "importance",
        "importance_by_part",
        "variance",
        "map",
        "correlation",
        "plates",
    } <= figures
    for path in (folder / "out" / "figures").glob("*.png"):
        assert Image.open(path).width <= 1120
    for anchor in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{anchor}"' in page


def test_the_page_says_what_was_done(page, rows):
    for words in (
        ", ".join(
            f"{name} ({count})"
            for name, count in rows.Metadata_Mechanism.value_counts().items()
        ),
        "192 image sets of 96 wells on 2 plates",
        "32 features, feature set net-1-0123456789ab",
        "4 folds by row: all image sets of one row (of 8)",
        "<code>stratonet evaluate --of this</code>",
        "pycytominer 1",
        "scikit-learn 1",
        "standardized on the negative controls",
    ):
        assert words in page, words
    assert "Caution" not in page


@pytest.fixture(scope="module")
def confounded(folder, tables):
    """Each class on plates of its own, and a well that is a control in one site."""
    frames = {
        "Deep": pd.read_parquet(tables["Deep"]),
        "Measured": pd.read_csv(tables["Measured"]),
    }
    for name, frame in frames.items():
        frame.loc[0, "Metadata_Compound"] = "y0"
        frame.loc[1, "Metadata_Compound"] = "DMSO"
        plates = frame.Metadata_Mechanism.map(CLASSES.index) * 2
        plates += frame.Metadata_Plate == "p2"
        frame = frame.assign(Metadata_Plate="plate " + plates.astype(str))
        frame.to_parquet(folder / f"confounded {name}.parquet")
    return {name: folder / f"confounded {name}.parquet" for name in frames}


def test_the_command_says_first_what_goes_together_with_the_class(
    folder, confounded, capsys
):
    """And what fails late, in the page: profiles, and images that are not there."""
    given = [
        "evaluate",
        f"Deep={confounded['Deep']}",
        str(confounded["Measured"]),
        "--output",
        str(folder / "command"),
    ]
    given += ["--compound", "compound", "--negcon", "compound=DMSO"]
    given += ["--images", str(folder / "gone.csv")]
    given += ["--label", "mechanism", "--folds", "2", "--leave-out", "tonic", "--quiet"]
    assert stratonet_cli.main(given) == 0
    page = folder / "command" / "report.html"
    assert capsys.readouterr().out.strip() == str(page)
    text = page.read_text()
    assert (
        "stratonet evaluate &#39;Deep=" in text
        and "--leave-out tonic --quiet</code>" in text
    )
    assert "Deep against confounded Measured" in text and "left out: tonic" in text
    before = text[text.index('class="answer"') : text.index("<dl>")]
    wells, classes = re.findall(r"Caution\.</strong> (.*?)</p>", before)
    assert wells.startswith("Controls, hits and doses were not evaluated: The rows of")
    assert classes.startswith("Class and plate are associated (Cramér&#39;s V 1.00")
    assert (
        "for 100% of the wells, all wells of the same plate have the same class" in text
    )
    # What fails late does not take the rest along.
    assert (
        "Profiles of Deep could not be made: A well must be a negative control in all"
        " of its rows, or in none" in text
    )
    assert "The images cannot be shown: " in text and "gone.csv is not there" in text
    assert "the SVM has a balanced accuracy" in text


def test_what_the_command_refuses(folder, tables, capsys):
    given = ["evaluate", str(tables["Deep"]), "--output", str(folder / "x")]
    assert stratonet_cli.main([*given, "--label", "MoA"]) == 1
    assert "stratonet: There is no column MoA" in capsys.readouterr().err
    given = ["evaluate", str(tables["Deep"]), str(tables["Deep"]), "--output", "x"]
    assert stratonet_cli.main(given) == 2
    assert "the same name" in capsys.readouterr().err


@pytest.fixture(scope="module")
def described(folder, tables):
    """A report without classes."""
    return write_report(tables, folder / "described", progress=False).page.parent


def test_without_a_label_features_are_described(described):
    page = (described / "report.html").read_text()
    assert "No column of classes was given (label)" in page
    # Nothing is said of what was not asked for.
    assert "retrieval" not in page.partition("<main>")[2].partition("<footer>")[0]
    assert "No images" not in page
    figures = {path.stem for path in (described / "figures").glob("*.png")}
    assert figures == {"variance", "map", "correlation"}


def test_an_older_report_leaves_nothing_behind(folder, tables):
    out = folder / "twice"
    (out / "figures").mkdir(parents=True)
    (out / "figures" / "mine.png").write_bytes(b"")
    write_report(tables, out, progress=False)
    assert (out / "figures" / "mine.png").exists()
    write_report({"Deep": tables["Deep"]}, out, progress=False)
    assert {path.stem for path in (out / "figures").glob("*.png")} == {
        "variance",
        "map",
    }
    assert not (out / "numbers" / "correlation.csv").exists()


def test_few_rows(folder, tables, rows):
    few = pd.read_parquet(tables["Deep"]).query(
        "Metadata_Well in ('A01', 'A02', 'B01') and Metadata_Plate == 'p1'"
    )
    few.to_parquet(folder / "few.parquet")
    page = write_report(
        {"Deep": folder / "few.parquet", "Measured": tables["Measured"]},
        folder / "few",
        progress=False,
    )
    omitted = page.page.read_text().partition('id="what-was-left-out"')[2]
    assert "3 wells are too few to correlate features" in omitted
    assert "The first two principal components" in page.page.read_text()


def test_few_wells_are_never_significant(folder, tables, rows):
    """Two random features of 6 wells are in the same order once in 720 pairs.

    There are 640 pairs.
    """
    few = pd.read_parquet(tables["Deep"]).query(
        "Metadata_Well < 'A07' and Metadata_Plate == 'p1'"
    )
    few.to_parquet(folder / "six.parquet")
    six = {"Deep": folder / "six.parquet", "Measured": tables["Measured"]}
    content = build_correlation(data.read_data(six, None, Treatments(), Split(), None))
    (found,) = (block.frame for block in content.blocks if isinstance(block, Numbers))
    assert found.rho.abs().max() > 0.9
    assert found.p.min() >= 2 / 720 - 1e-12
    assert not found.significant.any()


def test_wells_to_look_at(folder, tables, rows):
    """Wells of poison are bright in one channel."""
    images = rows.drop_duplicates(["Metadata_Plate", "Metadata_Well"]).drop(
        columns="Metadata_Site"
    )
    for channel in ("DNA", "ER"):
        names = [
            f"{plate}_{well}_{channel}.tif"
            for plate, well in zip(images.Metadata_Plate, images.Metadata_Well)
        ]
        images[f"FileName_{channel}"], images[f"PathName_{channel}"] = (
            names,
            str(folder),
        )
        for name, kind in zip(names, images.Metadata_Mechanism):
            light = 200 if channel == "DNA" and kind == "poison" else 20
            tifffile.imwrite(folder / name, np.full((30, 40), light, np.uint8))
    images.to_csv(folder / "images.csv", index=False)
    out = folder / "seen"
    tables = {"Deep": tables["Deep"]}
    page = write_report(
        tables,
        out,
        treatments=Treatments(label="mechanism"),
        split=Split(n_folds=2),
        images=folder / "images.csv",
        progress=False,
    ).page.read_text()
    assert "Typical and misclassified image sets" in page
    # A picture of every well, by class.
    assert page.count('<figure id="well-') == 96
    assert "96 of 96 wells, each shown by its first image set. DNA is green" in page
    predictions = pd.read_csv(out / "numbers" / "predictions.csv")
    shares = predictions.filter(like="share of votes")
    shares.columns = [name.rpartition(" ")[2] for name in shares]
    source = ImageSource(folder / "images.csv")

    def read(*arguments):
        return read_pictures(read_source(source).frame, source.storage, *arguments)

    pictures = {of.name: of for of in read(predictions, predictions.label, shares)}
    best = predictions.loc[shares.poison[predictions.label == "poison"].idxmax()]
    first = pictures["poison"].typical[0]
    assert first.lines[0].startswith(f"{best.Metadata_Plate} {best.Metadata_Well}")
    assert first.pixels.shape == (30, 40, 3)
    green = [0, 255, 0]  # DNA alone
    assert first.pixels[0, 0].tolist() == green
    assert "DNA is green, ER magenta" in page
    assert pictures["tonic"].typical[0].pixels.max() == 0

    row, label = predictions[:1], predictions.label[:1]
    wrong = label.map({"mock": "tonic", "poison": "mock", "tonic": "mock"})
    others = {"Right": label.to_numpy(), "Wrong": wrong.to_numpy()}
    votes = pd.DataFrame(
        [[float(name == wrong[0]) for name in CLASSES]], columns=CLASSES
    )
    (misclassified,) = (
        of.misclassified for of in read(row, label, votes, others) if of.misclassified
    )
    assert misclassified[0].lines == [
        "p1 A01 site 1",
        f"classified as {wrong[0]}",
        "correct with Right",
    ]
    images[images.Metadata_Well != "A01"].to_csv(folder / "images.csv", index=False)
    with pytest.raises(ValueError, match="no image of p1, A01"):
        read(row, label, shares[:1])


@pytest.mark.parametrize(
    ("treatments", "split", "options", "message"),
    [
        (
            {"label": "MoA"},
            {},
            {},
            "no column MoA in the metadata. Received: .*mechanism",
        ),
        (
            {"label": "mechanism", "control": ("compound", "water")},
            {},
            {},
            "No row has 'water' as compound. Received: 'DMSO'",
        ),
        ({"label": "mechanism", "compound": "drug"}, {}, {}, "no column drug"),
        ({"label": "mechanism"}, {"group": "site"}, {}, "would leak"),
        (
            {"label": "mechanism"},
            {"group": "batch"},
            {},
            "96 rows with a label have no batch",
        ),
        (
            {"label": "mechanism"},
            {"group": "mechanism", "n_folds": 3},
            {},
            "mock, poison, tonic: all rows of the class are in one group",
        ),
        ({"label": "mechanism"}, {"leave_out": ["none"]}, {}, "no class none"),
        ({}, {}, {"metadata": "gone.csv"}, "gone.csv is not there"),
    ],
)
def test_what_is_refused(folder, tables, treatments, split, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        write_report(
            tables,
            folder / "refused",
            treatments=Treatments(**treatments),
            split=Split(**split),
            progress=False,
            **options,
        )


def test_a_run_that_fails_leaves_the_earlier_report_whole(
    folder, tables, described, monkeypatch
):
    out = copytree(described, folder / "kept")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def fail(data):
        raise RuntimeError("no memory")

    sections = (*report.SECTIONS, fail)
    monkeypatch.setattr(report, "SECTIONS", sections)
    with pytest.raises(RuntimeError, match="no memory"):
        write_report({"Deep": tables["Deep"]}, out, progress=False)
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert after == before and len(after) == 7


def test_a_figure_that_cannot_be_written_leaves_the_earlier_report_whole(
    folder, tables, described, monkeypatch
):
    out = copytree(described, folder / "whole")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def fail(figure):
        raise OSError("no space left on device")

    monkeypatch.setattr(page_module, "render_figure", fail)
    with pytest.raises(OSError, match="no space left"):
        write_report({"Deep": tables["Deep"]}, out, progress=False)
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert after == before


def test_one_row(folder, tables):
    pd.read_parquet(tables["Deep"])[:1].to_parquet(folder / "one.parquet")
    with pytest.raises(ValueError, match="the tables have one row"):
        write_report(
            {"Deep": folder / "one.parquet"}, folder / "refused", progress=False
        )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--anonymous"], "--anonymous only works with --images"),
        (["--pattern", "phenix"], "--pattern only works with --images"),
        (["--replace-path", "a=b"], "--replace-path OLD=NEW only works with"),
    ],
)
def test_flags_that_need_others(tables, flags, message, capsys):
    given = ["evaluate", str(tables["Deep"]), "--output", "x", *flags]
    assert stratonet_cli.main(given) == 2
    assert message in capsys.readouterr().err


def test_images_are_found_as_extract_finds_them(folder, tables, monkeypatch):
    asked = {}

    def read(*_, **options):
        asked.update(options)
        raise ValueError("enough")

    monkeypatch.setattr(data, "read_data", read)
    given = ["evaluate", str(tables["Deep"]), "--output", "x", "--label", "mechanism"]
    given += ["--images", "s3://bucket/plates", "--pattern", "phenix", "--anonymous"]
    given += ["--endpoint", "http://localhost", "--region", "eu-west-1"]
    assert stratonet_cli.main([*given, "--replace-path", "/old=/new"]) == 1
    assert asked["images"] == ImageSource(
        "s3://bucket/plates",
        pattern="phenix",
        replace=(("/old", "/new"),),
        endpoint="http://localhost",
        region="eu-west-1",
        anonymous=True,
    )
