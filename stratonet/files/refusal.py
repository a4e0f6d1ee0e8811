"""What decoders raise of a sound file that is not one grey plane."""

from __future__ import annotations

ONE_CHANNEL = "Give one grey file per channel, or split the colours first."


class Refused(Exception):
    """A sound image that is not one plane, or not one that every reader shows alike."""
