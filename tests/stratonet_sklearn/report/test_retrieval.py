"""Profiles are made as asked for, and the page says how."""

from dataclasses import replace

import pytest

import stratonet_cli
from stratonet_sklearn.evaluation import ProfileRecipe
from stratonet_sklearn.report import data as report_data
from stratonet_sklearn.report.checks import make_examples
from stratonet_sklearn.report.retrieval import build_retrieval
from stratonet_sklearn.report.section import Numbers, Paragraph


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return next(iter(make_examples(tmp_path_factory.mktemp("images")).values()))


def find_blocks(data, kind):
    return [block for block in build_retrieval(data).blocks if isinstance(block, kind)]


@pytest.mark.slow
def test_the_page_says_how_profiles_were_made(data):
    robust = ProfileRecipe("mad_robustize", "rank", select=False, sphere=False)
    changed = replace(data, recipe=robust)
    texts = [block.text for block in find_blocks(changed, Paragraph)]
    of_deep = next(text for text in texts if text.startswith("Profiles of Deep"))
    for words in ("median absolute deviation", "ranks", "6 features", "as requested"):
        assert words in of_deep
    # Not only the words.
    scores, default = (
        find_blocks(each, Numbers)[0].frame["value"] for each in (changed, data)
    )
    assert not scores.equals(default)


def test_the_command_hands_on_the_choices(monkeypatch):
    asked = {}

    def read(*_, **options):
        asked.update(options)
        raise ValueError("enough")

    monkeypatch.setattr(report_data, "read_data", read)
    given = ["evaluate", "table.csv", "--output", "x", "--compound", "compound"]
    assert stratonet_cli.main(given) == 1
    assert asked["recipe"] is None
    given += ["--normalize", "mad_robustize", "--transform", "rank", "--no-select"]
    given += ["--sphere", "no", "--harmonize", "batch"]
    assert stratonet_cli.main(given) == 1
    assert asked["recipe"] == ProfileRecipe(
        "mad_robustize", "rank", select=False, sphere=False, harmonize="batch"
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--sphere", "no"], "A choice of profiles only works with --compound"),
        (
            ["--sphere", "yes", "--compound", "drug"],
            "--sphere only works with --negcon",
        ),
    ],
)
def test_choices_that_need_others(flags, message, capsys):
    assert stratonet_cli.main(["evaluate", "gone.csv", "--output", "x", *flags]) == 2
    assert message in capsys.readouterr().err


def test_the_column_of_batches_is_found_before_anything_is_computed(tmp_path, capsys):
    pytest.importorskip("harmonypy", reason="users bring it themselves")
    table = tmp_path / "table.csv"
    table.write_text("Metadata_Well,Metadata_Drug,area\nA01,x,1\nA02,y,2\n")
    given = ["evaluate", str(table), "--output", "x", "--compound", "drug"]
    assert stratonet_cli.main([*given, "--harmonize", "run"]) == 1
    assert "There is no column run" in capsys.readouterr().err
