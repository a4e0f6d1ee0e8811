"""MeasureStratoFeatures for a CellProfiler into which no packages can be installed.

The packages that it needs are beside this file, in a folder for each processor type.
"""

import platform
import sys
from pathlib import Path

PACKAGES = Path(__file__).resolve().parent / "packages" / platform.machine()

if not PACKAGES.is_dir():
    present = ", ".join(sorted(path.name for path in PACKAGES.parent.glob("*")))
    raise ImportError(
        f"{PACKAGES.parent} has packages for {present or 'no processor'}, not for this"
        f" CellProfiler ({platform.machine()}). Unpack the whole ZIP file of your"
        " system, and keep its folders together."
    )
if sys.version_info[:2] != (3, 9):
    raise ImportError(
        "These packages are for CellProfiler 4.2.6 to 4.2.8, which have Python 3.9;"
        f" this one has Python {platform.python_version()}."
    )
# At the end of the path, so that CellProfiler's own packages take precedence.
if str(PACKAGES) not in sys.path:
    sys.path.append(str(PACKAGES))

# CellProfiler loads the class that has the name of the file.
from cellprofiler_plugin.plugins.measurestratofeatures import (  # noqa: E402
    MeasureStratoFeatures,
)

__all__ = ["MeasureStratoFeatures"]
