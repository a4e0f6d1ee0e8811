"""The error that decoders raise for an intact file that is not one grey plane."""

from __future__ import annotations

ONE_CHANNEL = "Give one grey file per channel, or split the colours first."


class Refused(Exception):
    """An intact image that is not one plane, or that other readers show differently."""
