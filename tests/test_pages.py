"""The code on the pages does what they say: commands parse, Python runs."""

import argparse
import ast
import importlib
import re
import shlex
import sys

import numpy as np
import pytest
from packaging.requirements import Requirement
from pages import ROOT, find_commands, list_pages, read_blocks, read_spans

PAGES = list_pages()
# Pages about Python 3.9 with CellProfiler are read there, too.
IN_CELLPROFILER = {"docs/cellprofiler.md"}
# The environment that these pages name cannot be installed here: CellProfiler 5; and
# SpatialData, whose page is run in tests/stratonet/tables/test_spatialdata_stores.py.
NOT_RUN = ("config_write_typed", "spatialdata_attrs", "to_spatialdata_table")


def name_page(page):
    marks = [pytest.mark.stock_cellprofiler] if page in IN_CELLPROFILER else []
    return pytest.param(page, id=page, marks=marks)


class Parsed(Exception):
    """The arguments have been understood; nothing is to run."""


def parse_command(command, monkeypatch):
    """Let the program parse a command, and stop before anything runs."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self, *args, **kwargs):
        parse(self, *args, **kwargs)
        raise Parsed

    words = shlex.split(command)
    if words[0] == "stratonet":
        program, arguments = "stratonet_cli", words[1:]
    else:
        program, arguments = "training.__main__", words[3:]
    main = importlib.import_module(program).main
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    with pytest.raises(Parsed):
        main(arguments)


def is_whole(command):
    """Whether a span of code is a command to type, not the beginning or name of one."""
    return "--" in command or "/" in command


@pytest.mark.parametrize("page", [name_page(page) for page in PAGES])
def test_commands_parse(page, monkeypatch, capsys):
    blocks = [block for block in read_blocks(page) if block.language != "python"]
    commands = [line for block in blocks for line in find_commands(block.code)]
    spans = [line for span in read_spans(page) for line in find_commands(span)]
    commands += filter(is_whole, spans)
    for command in commands:
        with monkeypatch.context() as patch:
            try:
                parse_command(command, patch)
            except SystemExit as stopped:
                if not stopped.code:  # such as --version
                    continue
                pytest.fail(f"{page}: {command}\n{capsys.readouterr().err}")


@pytest.mark.parametrize("page", PAGES)
def test_files_that_commands_name_are_there(page):
    text = "\n".join([*(b.code for b in read_blocks(page)), *read_spans(page)])
    scripts = re.findall(r"python(?: -m pytest)?(?: -s)? ([\w/]+\.py)", text)
    targets = re.findall(r"(?:^|\n)make ([\w-]+)", text)
    missing = [script for script in scripts if not (ROOT / script).is_file()]
    assert not missing, f"{page} names files that are not there."
    rules = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(targets) <= set(rules), f"{page} names make targets that are not there."


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in link and not link.startswith("#"):
            path = (ROOT / page).parent / link.partition("#")[0]
            assert path.exists(), f"{page}: {link}"


@pytest.mark.parametrize("page", PAGES)
def test_configuration_files_can_be_read(page):
    for block in read_blocks(page):
        if block.language == "yaml":
            assert pytest.importorskip("yaml").safe_load(block.code)


# What the blocks of a page take for granted: files in the current folder, and names.


def write_images(folder, channels=("DNA", "Actin"), wells=8):
    import tifffile

    rng = np.random.default_rng(0)
    paths = {channel: [] for channel in channels}
    for well in range(wells):
        for channel in channels:
            path = folder / f"{channel}{well}.tif"
            texture = rng.gamma(2 + well % 2, 300, (64, 64))
            tifffile.imwrite(path, texture.astype(np.uint16))
            paths[channel].append(str(path))
    return paths


def prepare_readme(folder):
    import pandas as pd

    plate = pd.DataFrame(write_images(folder))
    plate["well"] = [f"A{well + 1:02d}" for well in range(len(plate))]
    plate["treatment"] = ["drug", "none"] * (len(plate) // 2)
    plate.to_csv(folder / "plate.csv", index=False)
    return {}


def prepare_transformer(folder):
    """A plate of which an image is gone."""
    names = prepare_readme(folder)
    (folder / "Actin2.tif").unlink()
    write_features(folder / "features")
    return names


def make_features(rows=24, seed=0):
    import pandas as pd

    from stratonet.naming import make_names

    numbered = [f"High{number:04d}" for number in range(1, 21)]
    names = make_names(numbered, "DNA")
    rng = np.random.default_rng(seed)
    classes = np.arange(rows) % 2
    values = rng.normal(classes[:, None], 1, (rows, len(names)))
    return pd.DataFrame(values.astype(np.float32), columns=names)


def prepare_cellprofiler(folder):
    features = make_features()
    features.insert(0, "ImageNumber", np.arange(len(features)) + 1)
    features.to_parquet(folder / "StratoFeatures_Image.parquet")
    return {}


def write_features(folder):
    features = make_features()
    wells = [f"A{number + 1:02d}" for number in range(len(features) // 2)]
    columns = {
        "Metadata_Plate": "P1",
        "Metadata_Well": np.repeat(wells, 2),
        "Metadata_Site": ["1", "2"] * len(wells),
        "Metadata_Treatment": ["drug", "none"] * len(wells),
        "Metadata_StratoFeatures": "stratonet50-0123abcd",
        "Metadata_StratoNetVersion": "0.1.0",
        "Metadata_Error": "",
    }
    for position, (name, value) in enumerate(columns.items()):
        features.insert(position, name, value)
    destination = folder / "source" / "batch" / "P1"
    destination.mkdir(parents=True)
    features.to_parquet(destination / "0.parquet")


def prepare_joining(folder):
    import pandas as pd

    keys = {"ImageNumber": [1, 1, 2], "ObjectNumber": [1, 2, 1]}
    output = folder / "output"
    output.mkdir()
    nuclei = pd.DataFrame({**keys, "AreaShape_Area": [9.0, 4.0, 5.0]})
    nuclei.to_csv(output / "Nuclei.csv", index=False)
    features = pd.concat([pd.DataFrame(keys), make_features(3)], axis=1)
    features.insert(2, "Metadata_Plate", "P1")
    features.insert(3, "Metadata_Well", ["A01", "A01", "A02"])
    features.to_parquet(output / "StratoFeatures_Nuclei.parquet")
    cells = nuclei.rename(
        columns={
            "ImageNumber": "Metadata_ImageNumber",
            "ObjectNumber": "Nuclei_Number_Object_Number",
        }
    )
    cells.to_parquet(folder / "cytotable.parquet")
    return {}


def prepare_extraction(folder):
    import pyarrow as pa
    from pyarrow import parquet

    from stratonet.extraction.thumbnails import make_crop_column

    write_features(folder / "DEST")
    (folder / "DEST" / "_crops").mkdir()
    crops = make_crop_column([np.zeros((8, 8), np.uint8)], "DNA")
    table = pa.table({"Metadata_Well": ["A01"], "Crop_DNA": crops})
    parquet.write_table(table, folder / "DEST" / "_crops" / "1.parquet")
    return {}


def prepare_evaluation(folder):
    rows = 24
    return {
        "deep": make_features(rows),
        "measured": make_features(rows, seed=1),
        "labels": np.array(["drug", "none"])[np.arange(rows) % 2],
        "plates": np.array(["P1", "P2", "P3", "P4"])[np.arange(rows) // 6],
        "wells": np.array([f"A{row + 1:02d}" for row in range(rows)]),
    }


def prepare_sources(folder):
    write_images(folder, channels=["DNA"], wells=1)
    (image,) = folder.glob("*.tif")
    header = "Metadata_Plate,Metadata_Well,where"
    (folder / "plate.mine.csv").write_text(f"{header}\nP1,A01,{image.name}\n")
    return {}


PREPARATIONS = {
    "README.md": prepare_readme,
    "docs/cellprofiler.md": prepare_cellprofiler,
    "docs/extraction.md": prepare_extraction,
    "docs/evaluation.md": prepare_evaluation,
    "docs/joining.md": prepare_joining,
    "docs/sources.md": prepare_sources,
    "docs/transformer.md": prepare_transformer,
}


def list_python_pages():
    return [page for page in PAGES if any(is_python(b) for b in read_blocks(page))]


def is_python(block):
    return block.language == "python"


def list_packages(extras):
    """The packages that an installation with these extras asks for."""
    tomli = pytest.importorskip("tomli", reason="pyproject.toml is read")
    project = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = list(project["dependencies"])
    for extra in extras:
        texts += project["optional-dependencies"][extra]
    asked = [Requirement(text) for text in texts]
    more = {name for one in asked for name in one.extras if one.name == "stratonet"}
    names = {one.name.lower() for one in asked}
    return names | list_packages(more) if more else names


def list_imports(code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


# Packages whose modules have another name.
HOMES = {"PIL": "pillow", "imblearn": "imbalanced-learn", "sklearn": "scikit-learn"}
# Pages that say in words what else they need, and why.
ELSEWHERE = {"docs/networks.md", "training/README.md"}


@pytest.mark.parametrize("page", list_python_pages())
def test_a_page_names_the_extras_of_its_code(page):
    """What a page builds, its code runs in."""
    text = (ROOT / page).read_text(encoding="utf-8")
    extras = set(",".join(re.findall(r"stratonet\[([\w,]+)\]", text)).split(","))
    if page in ELSEWHERE or extras == {""}:
        return
    installed = list_packages(extras)
    for block in filter(is_python, read_blocks(page)):
        for name in set(list_imports(block.code)):
            ours = name.startswith(("stratonet", "cellprofiler"))
            if not ours and name not in sys.stdlib_module_names:
                home = HOMES.get(name, name)
                assert home in installed, f"{page}, line {block.line}: {name}"


@pytest.mark.slow
@pytest.mark.parametrize("page", [name_page(page) for page in list_python_pages()])
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare = PREPARATIONS.get(page)
    names = prepare(tmp_path) if prepare else {}
    for block in filter(is_python, read_blocks(page)):
        # As many lines above the block as on the page: errors name the page's line.
        source = "\n" * block.line + block.code
        code = compile(source, page, "exec")
        if not any(word in block.code for word in NOT_RUN):
            exec(code, names)
