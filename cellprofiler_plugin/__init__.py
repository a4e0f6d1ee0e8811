"""StratoNet in CellProfiler: the module MeasureStratoFeatures, and runs on all cores.

CellProfiler loads the folder ``plugins``, see `headless.PLUGINS`. The other modules of
this package serve the code in that folder, and ``stratonet run-cellprofiler``.
"""
