"""The one place that touches disks, S3 and web servers."""
