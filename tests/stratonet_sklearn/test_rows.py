"""What goes by rows: one value each, as many as there are rows, in the same order."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from stratonet_sklearn.rows import find_missing, read_frame, read_rows, write_texts

TEXTS = ["a", "b", "c"]


class FrameOfAnotherMake:
    """A frame that gives nothing but its columns, as those of coming versions."""

    columns = ["DNA", "Actin"]

    def __getitem__(self, name):
        return np.array([f"{name}1.tif", f"{name}2.tif"])


@pytest.mark.parametrize(
    "values",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS)[:, None],
        [[text] for text in TEXTS],
        pd.Series(TEXTS, [7, 5, 6]),
        pd.Series(TEXTS, dtype="category"),
        pd.Series(TEXTS, dtype="string"),
        pd.Series(TEXTS, dtype=pd.ArrowDtype(pa.string())),
        pd.Index(TEXTS),
        pd.Categorical(TEXTS),
        pd.DataFrame({"moa": TEXTS}),
        pa.array(TEXTS),
        pa.table({"moa": TEXTS}),
    ],
    ids=lambda values: type(values).__name__,
)
def test_all_ways_to_give_a_column(values):
    column = read_rows({"labels": values})["labels"]
    assert column.tolist() == TEXTS
    assert column.index.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (None, "None"),
        ("abc", "str"),
        ({"a": 1, "b": 2}, "dict"),
        ({"a", "b"}, "set"),
        ((text for text in TEXTS), "generator"),
        (5, "int"),
        (np.eye(3), r"ndarray of shape \(3, 3\)"),
        (pd.get_dummies(pd.Series(TEXTS)), r"DataFrame of shape \(3, 3\)"),
        (list(zip(TEXTS, TEXTS)), r"list of shape \(3, 2\)"),
        (pd.Series([["a"], ["b", "c"]]), r"for a row: list of shape \(1,\)"),
    ],
)
def test_what_is_no_column_is_named(values, told):
    with pytest.raises(ValueError, match=f"`groups` takes one value .*{told}"):
        read_rows({"groups": values})


@pytest.mark.parametrize(
    "values",
    [
        ["a", None, "", " "],
        ["a", np.nan, pd.NA, pd.NaT],
        np.array(["a", None, np.nan, ""], object),
        pd.Series(["a", None, None, None], dtype="string"),
        pd.Series(["a", None, None, None], dtype="category"),
        np.ma.array([1, 2, 3, 4], mask=[False, True, True, True]),
        pa.array(["a", None, None, None]),
        pd.Series([1, None, None, None], dtype="Int64"),
    ],
)
def test_what_is_missing(values):
    column = read_rows({"labels": values})["labels"]
    assert find_missing(column).tolist() == [False, True, True, True]
    assert write_texts(column)[1:].tolist() == ["", "", ""]


def test_text_is_text():
    texts = ["None", "nan", "NA", "<NA>"]
    column = read_rows({"labels": texts})["labels"]
    assert not find_missing(column).any()
    assert write_texts(column).tolist() == texts


def test_numbers_beside_texts_are_texts():
    column = read_rows({"groups": [1, "P2", np.nan]})["groups"]
    assert column.tolist()[:2] == ["1", "P2"]
    assert find_missing(column).tolist() == [False, False, True]


@pytest.mark.parametrize("short", ["labels", "groups", "wells"])
def test_the_one_that_is_too_short_is_named(short):
    columns = {name: list("abcd") for name in ("labels", "groups", "wells")}
    columns[short] = list("abc")
    with pytest.raises(
        ValueError, match=rf"`{short}` has 3 rows, and `features` has 4"
    ):
        read_rows(columns, {"features": np.zeros((4, 2))})


FRAME = pd.DataFrame({"mean": [1, 2, 3]}, list("xyz"))


@pytest.mark.parametrize(
    "labels",
    [
        pd.Series(TEXTS, list("zyx")),
        pd.Series(TEXTS, list("xzy")),
        pd.DataFrame({"moa": TEXTS}, list("yxz")),
    ],
)
def test_the_same_index_in_another_order_is_refused(labels):
    with pytest.raises(ValueError, match="`labels` and `features` have the same index"):
        read_rows({"labels": labels}, {"features": FRAME})


def test_tables_among_themselves_and_wells_of_two_sites():
    sites = FRAME.set_axis(list("xxy"))
    with pytest.raises(ValueError, match="`two` and `one` have the same index"):
        read_rows({"labels": TEXTS}, {"one": sites, "two": sites[::-1]})


@pytest.mark.parametrize(
    "labels",
    [
        TEXTS,
        pd.Series(TEXTS),
        pd.Series(TEXTS, list("xyz")),
        pd.Series(TEXTS, [12, 13, 14]),
        pd.Series(TEXTS, pd.MultiIndex.from_product([["P1"], list("zyx")])),
    ],
)
def test_another_index_says_nothing_of_the_order(labels):
    rows = read_rows({"labels": labels}, {"features": FRAME})
    assert rows["labels"].tolist() == TEXTS


def test_names_of_columns_come_from_the_columns():
    frame = read_frame(FrameOfAnotherMake())
    assert frame.to_dict("list") == {
        "DNA": ["DNA1.tif", "DNA2.tif"],
        "Actin": ["Actin1.tif", "Actin2.tif"],
    }
    table = pa.table({"dose": [1, None], "gene": ["KRAS", None]})
    assert read_frame(table).isna().to_numpy().tolist() == [[False] * 2, [True] * 2]
    array = np.zeros((2, 2))
    assert read_frame(array) is array
