"""From tables of image sets to feature tables, on a laptop, from and to S3, and on a cluster."""

from stratonet.extraction.run import Summary, extract

__all__ = ["Summary", "extract"]
