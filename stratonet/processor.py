"""What the processor of this machine can do, as far as the system tells."""

from __future__ import annotations

import platform
import sys
from functools import cache
from pathlib import Path

# Intel's and AMD's are "flags", Arm's are "Features".
KEYS = ("flags", "Features")


@cache
def read_instructions(source: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Read the names of the processor's instructions, as Linux has them.

    Parameters
    ----------
    source : pathlib.Path
        Where Linux tells them.

    Returns
    -------
    frozenset of str
        Such as ``avx2`` and ``avx512_vnni``. Empty where the system does not tell, as
        Windows and Macs with processors of Intel.
    """
    # All of Apple's processors in Macs multiply integers of 8 bits.
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return frozenset({"asimddp", "i8mm"})
    names: set[str] = set()
    for key, value in _read_entries(source):
        if key in KEYS:
            names.update(value.split())
    return frozenset(names)


@cache
def read_processor_name(source: Path = Path("/proc/cpuinfo")) -> str:
    """Read what the processor is called.

    Parameters
    ----------
    source : pathlib.Path
        Where Linux tells it.

    Returns
    -------
    str
        What Python knows of it, where the system does not tell.
    """
    for key, value in _read_entries(source):
        if key == "model name":
            return value
    return platform.processor() or platform.machine()


def _read_entries(source: Path) -> list[tuple[str, str]]:
    try:
        lines = source.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [(key.strip(), value.strip()) for key, _, value in pairs]
