"""StratoNet in CellProfiler: the module MeasureStratoFeatures, and runs on all cores.

CellProfiler is given the folder ``plugins``, see `headless.PLUGINS`. The other modules
of this package are what is in it needs, and what ``stratonet run-cellprofiler`` needs.
"""
