"""Access to disks, S3 and web servers, which nothing else in StratoNet touches."""

from __future__ import annotations
