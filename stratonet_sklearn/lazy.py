"""Names that a package hands on, imported when they are first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

# What the transformer alone needs is in the extra `sklearn`, all else in `evaluate`.
SKLEARN = "sklearn"
EVALUATE = "evaluate"


def load_export(
    package: str,
    modules: Mapping[str, str],
    name: str,
    extras: Mapping[str, str] | None = None,
) -> object:
    """Import a name that a package hands on from one of its modules.

    Parameters
    ----------
    package : str
        The package, whose ``__getattr__`` calls this.
    modules : mapping of str to str
        The module, relative to the package, of each name.
    name : str
        The name that is asked for.
    extras : mapping of str to str, optional
        The extra that installs what a name needs. Default: ``evaluate``.

    Returns
    -------
    object

    Raises
    ------
    AttributeError
        The package hands on no such name.
    ImportError
        A package that it needs is not installed. The message names it and the extra.
    """
    if name not in modules:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{package}.{modules[name]}"), name)
    except ModuleNotFoundError as error:
        extra = (extras or {}).get(name, EVALUATE)
        raise ImportError(
            f"{name} needs the package {error.name}: install stratonet[{extra}]."
        ) from None
