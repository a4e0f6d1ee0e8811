"""The one place that touches disks, S3 and web servers."""

from __future__ import annotations
