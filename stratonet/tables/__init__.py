"""Tables of features: their columns, and how they are read and written.

>>> from stratonet.tables import feature_columns
>>> feature_columns(["Metadata_Well", "StratoFeatures_High0012_DNA"])
['StratoFeatures_High0012_DNA']
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stratonet.extras import import_when_used

if TYPE_CHECKING:
    from stratonet.naming import feature_columns, metadata_columns
    from stratonet.tables.anndata import to_anndata
    from stratonet.tables.reading import FeatureTable, read_features
    from stratonet.tables.spatialdata import (
        to_spatialdata_table,
        write_spatialdata_table,
    )

__all__ = [
    "FeatureTable",
    "feature_columns",
    "metadata_columns",
    "read_features",
    "to_anndata",
    "to_spatialdata_table",
    "write_spatialdata_table",
]
# The modules that define what users import.
_HOMES = {
    "FeatureTable": "stratonet.tables.reading",
    "feature_columns": "stratonet.naming",
    "metadata_columns": "stratonet.naming",
    "read_features": "stratonet.tables.reading",
    "to_anndata": "stratonet.tables.anndata",
    "to_spatialdata_table": "stratonet.tables.spatialdata",
    "write_spatialdata_table": "stratonet.tables.spatialdata",
}

# pandas and pyarrow take a second to import, so they are imported when they are used.
__getattr__, __dir__ = import_when_used(__name__, _HOMES, "extract")
