"""Check the values of a configuration's fields."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

CHOICES = {
    "attention": ("eca", "none"),
    "classifier_on": ("taps", "end"),
    "optimizer": ("adam", "sgd"),
    "schedule": ("constant", "cosine", "step"),
    "precision": ("float32", "mixed_float16", "mixed_bfloat16"),
}
ABOVE_ZERO = (
    "classifier_depth",
    "image_size",
    "multiply",
    "batch",
    "epochs",
    "learning_rate",
    "step_epochs",
)
NOT_NEGATIVE = ("warmup_epochs", "plateau_epochs", "weight_decay", "seed")
BELOW_ONE = ("momentum", "label_smoothing")
FACTORS = ("step_factor", "plateau_factor")
# Random number generators accept seeds below this only.
SEEDS = 2**32
# Annotations are read as strings; these are the types that TOML and JSON yield.
TYPES = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "tuple": tuple,
    "dict": dict,
}
RANGE = {"low", "high", "log"}


def convert_value(value: object, annotation: str) -> object:
    """Convert a list to a tuple and a whole number to a float, where a field needs it.

    Parameters
    ----------
    value : object
        Value read from TOML or JSON.
    annotation : str
        Type annotation of the field: ``"float"``, ``"tuple[str, ...]"``.

    Returns
    -------
    object

    Examples
    --------
    >>> convert_value([1, 2.5, 3], "tuple[float, float, float]")
    (1.0, 2.5, 3.0)
    """
    expected, content = _parse_annotation(annotation)
    if expected is tuple and isinstance(value, list):
        value = tuple(value)
    if isinstance(value, tuple):
        return tuple(_convert_number(each, content) for each in value)
    return _convert_number(value, expected)


def _convert_number(value: object, expected: type | None) -> object:
    # Not isinstance, because True is an int.
    return float(value) if expected is float and type(value) is int else value


def _parse_annotation(annotation: str) -> tuple[type, type | None]:
    """Return the type of a field, and the type of its items."""
    name, _, inner = annotation.rstrip("]").partition("[")
    types = [TYPES.get(word.strip()) for word in inner.split(",")]
    # Keys are strings in TOML; all items of a tuple have the type of the first.
    return TYPES[name], types[1 if name == "dict" else 0]


def check_value(name: str, value: object, annotation: str) -> None:
    """Check type and range of a value, and of its items.

    Parameters
    ----------
    name : str
        Name of the field, for messages.
    value : object
        From `convert_value`.
    annotation : str
        Type annotation of the field.

    Raises
    ------
    ValueError
        The value is not valid.

    Examples
    --------
    >>> check_value("train_only", ("*_eca", 3), "tuple[str, ...]")
    Traceback (most recent call last):
        ...
    ValueError: train_only must hold values of type str. Received: 3
    """
    expected, content = _parse_annotation(annotation)
    # Not isinstance, because True would pass for a number.
    if type(value) is not expected:
        raise ValueError(
            f"{name} must be of type {expected.__name__}. Received: {value!r}"
        )
    _check_finite(name, value)
    if isinstance(value, tuple):
        for each in value:
            if type(each) is not content:
                raise ValueError(
                    f"{name} must hold values of type {content and content.__name__}."
                    f" Received: {each!r}"
                )
            _check_finite(name, each)
    if name in CHOICES and value not in CHOICES[name]:
        choices = ", ".join(CHOICES[name])
        raise ValueError(f"{name} must be one of {choices}. Received: {value!r}")
    if isinstance(value, (int, float)):
        _check_number(name, value)


def _check_finite(name: str, value: object) -> None:
    # TOML can write nan and inf.
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite. Received: {value!r}")


def _check_number(name: str, value: float) -> None:
    conditions = (
        (ABOVE_ZERO, value > 0, "above 0"),
        (NOT_NEGATIVE, value >= 0, "at least 0"),
        (BELOW_ONE, 0 <= value < 1, "at least 0 and below 1"),
        (FACTORS, 0 < value <= 1, "above 0 and at most 1"),
        (("seed",), value < SEEDS, f"below {SEEDS}"),
    )
    for names, valid, condition in conditions:
        if name in names and not valid:
            raise ValueError(f"{name} must be {condition}. Received: {value!r}")


def check_taps(
    taps: Mapping[str, object],
    fields: Collection[str],
    blocks: Collection[str] | None,
) -> None:
    """Check the taps that a configuration names.

    Parameters
    ----------
    taps : dict
        Alias to layer name.
    fields : collection of str
        Names that no alias may have: in TOML, a field written below the line ``[taps]``
        belongs to that table.
    blocks : collection of str or None
        The layers of the network; None where only the network itself knows them.

    Raises
    ------
    ValueError
        A tap is not a layer, or a layer is named twice.
    """
    for alias, layer in taps.items():
        if alias in fields or not isinstance(layer, str):
            raise ValueError(
                f"taps must hold names of layers. Received: {alias} = {layer!r}. Write"
                f" other fields above the line [taps]: what follows it belongs to it."
            )
        if blocks is not None and layer not in blocks:
            raise ValueError(
                f"taps: {alias} must be one of the blocks {', '.join(blocks)}."
                f" Received: {layer!r}"
            )
    layers = list(taps.values())
    twice = [alias for alias, layer in taps.items() if layers.count(layer) > 1]
    if twice:
        raise ValueError(f"taps: {' and '.join(twice)} are the same layer.")


def list_ends(name: str, values: object, fields: Sequence[str]) -> list[Any]:
    """List the values of a line of ``[search]``: its choices, or its two ends.

    Parameters
    ----------
    name : str
        Field to search for.
    values : object
        Its range or choices.
    fields : sequence of str
        Fields that can be searched for.

    Returns
    -------
    list

    Raises
    ------
    ValueError
        There is no such field, or the values are not as `training.search` needs them.
    """
    if name not in fields or name == "search":
        others = ", ".join(sorted(set(fields) - {"search"}))
        raise ValueError(f"[search]: there is no field {name}. Fields: {others}.")
    if not isinstance(values, dict):
        raise describe_range(
            name,
            values,
            f"if {name} is the same in every trial, write it above the line [search]:"
            " what follows that line belongs to it",
        )
    if set(values) == {"choices"}:
        choices = values["choices"]
        if isinstance(choices, list) and choices:
            return choices
        raise describe_range(name, values, "choices must be a list of one or more")
    missing = sorted({"low", "high"} - set(values))
    unknown = sorted(set(values) - RANGE)
    if missing or unknown:
        reason = f"{', '.join(missing)} is missing" if missing else f"no {unknown[0]}"
        raise describe_range(name, values, reason)
    return [values["low"], values["high"]]


def check_range(default: object, values: object) -> None:
    """Check that the values of a line of ``[search]`` are consistent.

    Parameters
    ----------
    default : object
        A value of the field.
    values : dict
        Values that `list_ends` has accepted.

    Raises
    ------
    ValueError
        A choice appears twice, or no number can be drawn.
    """
    assert isinstance(values, dict)
    if isinstance(default, (dict, tuple)):
        raise ValueError("only numbers, strings, true and false can be searched for")
    if "choices" in values:
        choices = values["choices"]
        if any(choices.count(choice) > 1 for choice in choices):
            raise ValueError("a choice appears twice")
        return
    low, high, log = values["low"], values["high"], values.get("log", False)
    numbers = (int, float)
    if not {type(default), type(low), type(high)}.issubset(numbers):
        raise ValueError("low and high must be numbers, and the field a number")
    if not isinstance(log, bool):
        raise ValueError("log must be true or false")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("low and high must be finite")
    if low > high:
        raise ValueError("low is above high")
    if log and low <= 0:
        raise ValueError("log = true needs low > 0")


def describe_range(name: str, values: object, reason: str) -> ValueError:
    """Return the error for a line of ``[search]``.

    Parameters
    ----------
    name : str
        Field to search for.
    values : object
        What was received for it.
    reason : str
        What is wrong with it.

    Returns
    -------
    ValueError
    """
    return ValueError(
        f"[search]: {name} must be {{low = NUMBER, high = NUMBER}}, with log = true"
        " to draw its logarithm, or {choices = [VALUE, VALUE]}. Received:"
        f" {values!r} ({reason.rstrip('.')})"
    )
