"""The columns of MeasureStratoFeatures, as CellProfiler and its pickers name them.

Category (StratoFeatures), measurement (High0012), image (DNA).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellprofiler_core.constants.measurement import COLTYPE_FLOAT

from cellprofiler_plugin import measurements
from cellprofiler_plugin.settings import read_or_empty
from stratonet.naming import PREFIX, block_names, component_names, make_names

if TYPE_CHECKING:
    from cellprofiler_core.pipeline import Pipeline


class DeclaredColumns:
    """Declares the columns of MeasureStratoFeatures, which inherits from this class."""

    def count_columns(self: Any) -> int:
        """Count the columns of images and all objects; 0 while that is unknown."""
        names = self.get_object_names()
        widths = [sum(read_or_empty(self.list_widths, name)) for name in names]
        return len(self.images.value) * sum(widths)

    def list_widths(self: Any, object_name: str) -> list[int]:
        """List how many columns each block of one image's features has."""
        if self.reduce.value:
            return [self.load_projection().width]
        return [block.width for block in self.list_blocks(object_name)]

    def make_measurement_names(self: Any, object_name: str) -> list[str]:
        """Make the names of the columns of one image, without category and image."""
        if self.reduce.value:
            return component_names(self.load_projection().width)
        names: list[str] = []
        for block in self.list_blocks(object_name):
            names += block_names(block)
        return names

    def make_column_names(self: Any, object_name: str) -> list[str]:
        """Make the full names of the columns: all of one image, then of the next."""
        return make_names(self.make_measurement_names(object_name), self.images.value)

    def get_measurement_columns(
        self: Any, pipeline: Pipeline
    ) -> list[tuple[str, str, str]]:
        """Declare the columns: object name, feature and type of each."""
        declared = [measurements.FEATURE_SET]
        if self.reduce.value:
            declared.append(measurements.PROJECTION)
        if self.writes_parquet:
            declared.append(measurements.SCREEN)
        if not self.writes_tables:
            return declared
        for object_name in self.get_object_names():
            names = read_or_empty(self.make_column_names, object_name)
            declared += [(object_name, name, COLTYPE_FLOAT) for name in names]
        return declared

    def get_categories(self: Any, pipeline: Pipeline, object_name: str) -> list[str]:
        """Declare the categories of an object's measurements."""
        if self.writes_tables and object_name in self.get_object_names():
            return [PREFIX]
        return []

    def get_measurements(
        self: Any, pipeline: Pipeline, object_name: str, category: str
    ) -> list[str]:
        """Declare the measurements of a category, without the image's name."""
        if category not in self.get_categories(pipeline, object_name):
            return []
        return read_or_empty(self.make_measurement_names, object_name)

    def get_measurement_images(
        self: Any,
        pipeline: Pipeline,
        object_name: str,
        category: str,
        measurement: str,
    ) -> list[str]:
        """Declare the images that have a measurement."""
        if measurement in self.get_measurements(pipeline, object_name, category):
            return list(self.images.value)
        return []
