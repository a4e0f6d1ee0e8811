"""Files of one plane in every make that microscopes and programs write.

Each is generated: by hand, where no library writes such a file.
"""

from . import png_and_jpeg, tiff_pages, tiff_pixels
from .plane_file import PlaneFile

__all__ = ["PlaneFile", "make_plane_files"]


def make_plane_files():
    """Make the whole collection, by name."""
    files = {}
    for module in (tiff_pixels, tiff_pages, png_and_jpeg):
        for name, maker in vars(module).items():
            if name.startswith("vary_"):
                files.update({file.name: file for file in maker()})
    return files
