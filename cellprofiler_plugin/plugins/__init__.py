"""The modules that CellProfiler loads."""
