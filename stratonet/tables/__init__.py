"""Tables of features: their columns, and how they are read and written."""

from importlib import import_module

_HOMES = {
    "FeatureTable": "reading",
    "feature_columns": "stratonet.naming",
    "metadata_columns": "stratonet.naming",
    "read_features": "reading",
    "to_anndata": "anndata",
}
__all__ = list(_HOMES)


def __getattr__(name):
    # pandas and pyarrow are not imported before they are used.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    return getattr(import_module(home if "." in home else f"{__name__}.{home}"), name)
