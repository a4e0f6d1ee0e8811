"""What the processor of this machine can do, as far as the system tells."""

from __future__ import annotations

import platform
import sys
from functools import cache
from pathlib import Path

# Instructions of Intel and AMD are listed as "flags", those of Arm as "Features".
KEYS = ("flags", "Features")


@cache
def read_instructions(source: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Read the Linux names of the processor's instructions.

    Parameters
    ----------
    source : pathlib.Path
        The file in which Linux lists them.

    Returns
    -------
    frozenset of str
        Such as ``avx2`` and ``avx512_vnni``. Empty where the system does not tell, as
        on Windows and on Macs with Intel processors.
    """
    # All Apple processors in Macs have instructions that multiply 8-bit integers.
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return frozenset({"asimddp", "i8mm"})
    names: set[str] = set()
    for key, value in _read_entries(source):
        if key in KEYS:
            names.update(value.split())
    return frozenset(names)


@cache
def read_processor_name(source: Path = Path("/proc/cpuinfo")) -> str:
    """Read the name of the processor.

    Parameters
    ----------
    source : pathlib.Path
        The file in which Linux gives it.

    Returns
    -------
    str
        If the system does not tell, what Python knows.
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
