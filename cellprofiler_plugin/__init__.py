"""Door two.

The folder of CellProfiler plug-ins. Give it to CellProfiler as its plugins directory.
"""
