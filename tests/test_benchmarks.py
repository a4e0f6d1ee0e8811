"""What the README reports of features' worth, by the commands that it names."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_mitocheck(data):
    command = [sys.executable, ROOT / "benchmarks" / "mitocheck.py", data / "mitocheck"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    print(printed)
    assert float(re.search(r"balanced accuracy ([\d.]+)", printed)[1]) >= 0.64
