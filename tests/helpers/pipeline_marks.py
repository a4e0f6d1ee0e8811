"""What the window would mark of a pipeline: ``python -m pipeline_marks FILE``.

A process of its own, because rules for files are checked by Java. Errors and warnings
are printed, a line each.
"""

import os
import sys

from cellprofiler_core import preferences
from cellprofiler_core.setting import ValidationError

preferences.set_headless()


def list_marks(path):
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.utilities.java import start_java

    start_java()
    pipeline = Pipeline()
    pipeline.load(path)
    for step in pipeline.modules():
        for check in (step.test_valid, step.test_module_warnings):
            try:
                check(pipeline)
            except ValidationError as error:
                yield f"{step.module_name}: {error}"


if __name__ == "__main__":
    print("\n".join(list_marks(sys.argv[1])), flush=True)
    # Java would keep the process.
    os._exit(0)
