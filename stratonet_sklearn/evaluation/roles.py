"""Which wells are negative controls, which positive ones, and which are empty."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from stratonet.messages import shorten_list, suggest_name
from stratonet.naming import METADATA, metadata_columns
from stratonet.tables.columns import WELL
from stratonet.tables.wells import format_well, locate_wells, parse_well
from stratonet_sklearn.evaluation.columns import find_column, get_column

NEGATIVE, POSITIVE, EMPTY = "negative controls", "positive controls", "empty wells"
# Columns in which JUMP says what a well is; others are searched after these.
_JUMP_COLUMNS = ("control_type", "pert_type")
_JUMP_IDS = "jcp2022"
# JUMP's own ids (perturbation_control.csv of its metadata, CC0).
_JUMP_NEGATIVE = (33924, 800001, 800002, 915128, 915129, 915130, 915131)
_JUMP_COMPOUNDS = (37716, 25848, 46054, 35095, 64022, 50797, 12818, 85227)
_JUMP_POSITIVE = (*_JUMP_COMPOUNDS, 805264, 915132)
_JUMP_EMPTY = (999999,)
# CellProfiler's module CalculateStatistics reads -1, 0 and 1 from such a column.
_CELLPROFILER_COLUMN = "control"
_CELLPROFILER_ROLES = {-1.0: NEGATIVE, 1.0: POSITIVE}


@dataclass(frozen=True)
class Roles:
    """What each row is.

    Attributes
    ----------
    negative, positive, empty : numpy.ndarray (n rows,), bool
        Rows of negative controls, of positive ones, and of wells without cells or
        treatment. No row is more than one of these.
    notes : list of str
        What was taken as what, in sentences.
    """

    negative: np.ndarray
    positive: np.ndarray
    empty: np.ndarray
    notes: list[str] = field(default_factory=list)


def find_roles(
    metadata: pd.DataFrame,
    negative: tuple[str, str] | str | None = None,
    positive: tuple[str, str] | str | None = None,
) -> Roles:
    """Find the controls of a screen.

    Parameters
    ----------
    metadata : pandas.DataFrame (n rows)
        ``Metadata_*`` of wells, sites or objects.
    negative, positive : (str, str) or str, optional
        Column and value of the controls, or their wells: ``"A01:H01,A12"`` stands for
        rectangles and single wells, on all plates. A role that is not given is
        recognised by JUMP's words (``negcon``, ``poscon``, ``poscon_cp``, ``empty``, in
        ``control_type``, ``pert_type`` or any other column that has ``negcon``) and ids
        (``JCP2022``), or by CellProfiler's -1 and 1 in a column ``Control``.

    Returns
    -------
    Roles

    Raises
    ------
    ValueError
        No row has the value or the wells, there is no such column, or a row would be a
        negative and a positive control.

    Examples
    --------
    >>> rows = pd.DataFrame({"Metadata_Well": ["A01", "A02", "B01"]})
    >>> find_roles(rows, negative="A01:B01").negative
    array([ True, False,  True])
    """
    recognised = recognize_roles(metadata)
    notes = list(recognised.notes)
    roles = {}
    rules = {NEGATIVE: negative, POSITIVE: positive}
    recognised_rows = {NEGATIVE: recognised.negative, POSITIVE: recognised.positive}
    for role, rule in rules.items():
        if rule is None:
            roles[role] = recognised_rows[role]
        else:
            roles[role] = _find_rows(metadata, rule)
            notes = [note for note in notes if role not in note]
            notes.append(_word_rule(rule, role, int(roles[role].sum())))
    # Controls that were named take precedence over recognised ones.
    if negative is None:
        roles[NEGATIVE] = roles[NEGATIVE] & ~roles[POSITIVE]
    elif positive is None:
        roles[POSITIVE] = roles[POSITIVE] & ~roles[NEGATIVE]
    _check_apart(metadata, roles[NEGATIVE], roles[POSITIVE])
    controls = roles[NEGATIVE] | roles[POSITIVE]
    return Roles(roles[NEGATIVE], roles[POSITIVE], recognised.empty & ~controls, notes)


def _check_apart(
    rows: pd.DataFrame, negative: np.ndarray, positive: np.ndarray
) -> None:
    in_both = negative & positive
    if in_both.any():
        first = int(in_both.argmax())
        example = rows[WELL].iloc[first] if WELL in rows else first
        raise ValueError(
            "A well cannot be both a negative and a positive control (`control`,"
            f" `positive`). Received {int(in_both.sum())} such rows, the first:"
            f" {example}"
        )


def recognize_roles(metadata: pd.DataFrame) -> Roles:
    """Recognise controls that are named as JUMP or CellProfiler names them.

    Parameters
    ----------
    metadata : pandas.DataFrame (n rows)
        ``Metadata_*``.

    Returns
    -------
    Roles
        Without controls if no convention is recognised.

    Examples
    --------
    >>> rows = pd.DataFrame({"Metadata_control_type": ["negcon", "poscon_cp", None]})
    >>> recognize_roles(rows).notes[0]
    '1 row with negcon in Metadata_control_type is taken as negative controls (JUMP).'
    """
    for name in _order_columns(metadata):
        short = name.removeprefix(METADATA).lower()
        if short == _JUMP_IDS:
            roles = get_column(metadata, name).map(_read_jump_id)
            words = "ids"
        elif short == _CELLPROFILER_COLUMN and _is_cellprofiler(metadata[name]):
            numbers = pd.to_numeric(metadata[name], errors="coerce")
            return _make_roles(metadata, name, numbers.map(_CELLPROFILER_ROLES), "")
        else:
            values = get_column(metadata, name).str.strip().str.lower()
            if not (values == "negcon").any():
                continue
            roles = values.map(_read_jump_word)
            words = "words"
        if (roles == NEGATIVE).any():
            return _make_roles(metadata, name, roles, words)
    nothing = np.zeros(len(metadata), bool)
    return Roles(nothing, nothing, nothing)


def _order_columns(metadata: pd.DataFrame) -> list[str]:
    """List the columns in which controls may be named, the most explicit first."""
    columns = metadata_columns(metadata)
    first = [*_JUMP_COLUMNS, _CELLPROFILER_COLUMN, _JUMP_IDS]
    by_short = {name.removeprefix(METADATA).lower(): name for name in columns}
    conventional = [by_short[short] for short in first if short in by_short]
    # Numbers cannot be words, and tables of objects have many rows to search.
    others = [
        name
        for name in columns
        if name not in conventional
        and not pd.api.types.is_numeric_dtype(metadata[name])
    ]
    # Ids last: a column of words says what the lab took as controls.
    ids = [name for name in conventional if name.lower().endswith(_JUMP_IDS)]
    return [name for name in conventional if name not in ids] + others + ids


def _read_jump_word(value: str) -> str | None:
    if value == "negcon":
        return NEGATIVE
    if re.match(r"poscon($|_)", value):
        return POSITIVE
    return EMPTY if value == "empty" else None


def _read_jump_id(value: str) -> str | None:
    match = re.fullmatch(r"JCP2022_(\d{6})", value)
    number = int(match[1]) if match else -1
    for role, numbers in (
        (NEGATIVE, _JUMP_NEGATIVE),
        (POSITIVE, _JUMP_POSITIVE),
        (EMPTY, _JUMP_EMPTY),
    ):
        if number in numbers:
            return role
    return None


def _is_cellprofiler(column: pd.Series) -> bool:
    numbers = pd.to_numeric(column, errors="coerce").dropna()
    return set(numbers) <= {-1, 0, 1} and (numbers == -1).any()


def _make_roles(
    metadata: pd.DataFrame, name: str, roles: pd.Series, words: str
) -> Roles:
    notes = []
    convention = "JUMP" if words else "CellProfiler"
    texts = get_column(metadata, name)
    for role in (NEGATIVE, POSITIVE, EMPTY):
        of_role = (roles == role).to_numpy()
        if of_role.any():
            values = shorten_list(sorted(texts[of_role].unique()), most=4)
            n_rows = int(of_role.sum())
            verb = "row with {} is" if n_rows == 1 else "rows with {} are"
            notes.append(
                f"{n_rows:,} {verb.format(f'{values} in {name}')} taken as {role}"
                f" ({convention})."
            )
    negative, positive, empty = (
        (roles == role).to_numpy() for role in (NEGATIVE, POSITIVE, EMPTY)
    )
    return Roles(negative, positive, empty, notes)


def _word_rule(rule: tuple[str, str] | str, role: str, n_rows: int) -> str:
    words = f"wells {rule}" if isinstance(rule, str) else f"{rule[1]} in {rule[0]}"
    verb = "row is" if n_rows == 1 else "rows are"
    return f"{n_rows:,} {verb} taken as {role}, as specified ({words})."


def _find_rows(metadata: pd.DataFrame, rule: tuple[str, str] | str) -> np.ndarray:
    if isinstance(rule, str):
        return find_rows_of_wells(metadata, rule)
    return find_rows_of_value(metadata, *rule)


def find_rows_of_value(metadata: pd.DataFrame, column: str, value: str) -> np.ndarray:
    """Find the rows that have a value in a column.

    Parameters
    ----------
    metadata : pandas.DataFrame (n rows)
        ``Metadata_*``.
    column, value : str
        The column with or without ``Metadata_``.

    Returns
    -------
    numpy.ndarray (n rows,), bool

    Raises
    ------
    ValueError
        No row has the value.

    Examples
    --------
    >>> frame = pd.DataFrame({"Metadata_Compound": ["DMSO", "taxol"]})
    >>> find_rows_of_value(frame, "compound", "DMSO")
    array([ True, False])
    """
    # As text: the value may come from a command line, or be a number.
    values = get_column(metadata, find_column(metadata, column))
    value = str(value)
    rows = (values == value).to_numpy()
    if not rows.any():
        received = [repr(text) for text in sorted(values.unique())]
        raise ValueError(
            f"No row has {value!r} as {column}.{suggest_name(value, values.unique())}"
            f" Received: {shorten_list(received)}"
        )
    return rows


def parse_well_ranges(text: str) -> list[tuple[range, range]]:
    """Parse wells and rectangles of wells.

    Parameters
    ----------
    text : str
        Separated by commas: ``A01``, or ``A01:H02`` from one corner to the other.

    Returns
    -------
    list of (range, range)
        Rows and columns of each, from 0.

    Raises
    ------
    ValueError
        A part is neither a well nor a rectangle.

    Examples
    --------
    >>> parse_well_ranges("A1:B02, H12")
    [(range(0, 2), range(0, 2)), (range(7, 8), range(11, 12))]
    """
    ranges = []
    for part in text.split(","):
        corners = [parse_well(corner) for corner in part.split(":")]
        if not 1 <= len(corners) <= 2 or None in corners:
            raise ValueError(
                "Name single wells like A01, rectangles of wells like A01:H01, and"
                f" separate several by commas. Received: {part.strip()!r}"
            )
        positions = [corner for corner in corners if corner is not None]
        rows, columns = zip(*positions)
        ranges.append(
            (range(min(rows), max(rows) + 1), range(min(columns), max(columns) + 1))
        )
    return ranges


def find_rows_of_wells(metadata: pd.DataFrame, wells: str) -> np.ndarray:
    """Find the rows of wells by their positions, on all plates.

    Parameters
    ----------
    metadata : pandas.DataFrame (n rows)
        With ``Metadata_Well``.
    wells : str
        As `parse_well_ranges` takes them.

    Returns
    -------
    numpy.ndarray (n rows,), bool

    Raises
    ------
    ValueError
        The text does not name wells, or no row is in one of its parts.

    Examples
    --------
    >>> rows = pd.DataFrame({"Metadata_Well": ["A01", "B1", "b02"]})
    >>> find_rows_of_wells(rows, "B01:B02")
    array([False,  True,  True])
    """
    rows, columns = locate_wells(metadata[WELL].astype(str))
    is_match = np.zeros(len(metadata), bool)
    for row_range, column_range in parse_well_ranges(wells):
        inside = _lie_within(rows, row_range) & _lie_within(columns, column_range)
        if not inside.any():
            first = format_well(row_range[0], column_range[0])
            last = format_well(row_range[-1], column_range[-1])
            name = first if first == last else f"{first}:{last}"
            known_wells = shorten_list(
                sorted(metadata[WELL].astype(str).unique()), most=5
            )
            raise ValueError(
                f"There is no well {name}. Received the wells: {known_wells}"
            )
        is_match |= inside
    return is_match


def _lie_within(numbers: pd.Series, within: range) -> np.ndarray:
    inside = numbers.ge(within.start) & numbers.lt(within.stop)
    return inside.fillna(False).to_numpy(bool)
