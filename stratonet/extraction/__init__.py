"""From tables of image sets to feature tables, on a laptop, from and to S3, and on a cluster."""

from .profiles import feature_columns, metadata_columns, read_features, to_anndata
from .run import Summary, extract

__all__ = ["Summary", "extract", "feature_columns", "metadata_columns", "read_features", "to_anndata"]
