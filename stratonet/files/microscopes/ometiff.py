"""Read OME-TIFF files of several channels, planes in z or images."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, BinaryIO, cast
from xml.etree import ElementTree

import numpy as np
import tifffile

from stratonet.files.microscopes.scenes import PlaneIndex, Scene, SceneFile
from stratonet.files.projections import project_planes
from stratonet.files.refusal import Refused
from stratonet.files.storage import Storage
from stratonet.files.tiffpages import (
    check_page,
    choose_page,
    list_pages,
    show_white_as_large,
)
from stratonet.files.urls import is_url

# Bytes per request to S3, since tags and pixels lie in small pieces.
BLOCK = 2**18


class OmeTiffFile(SceneFile):
    """An OME-TIFF file, whose planes are numbered by their pages.

    CellProfiler counts them in the same way: OME-XML is only used to find the well,
    channel and height of a page.

    Parameters
    ----------
    url : str
        Path or URL.
    storage : Storage
        Reads it.
    """

    def __init__(self, url: str, storage: Storage) -> None:
        super().__init__()
        self._url = url
        self._file = open_in_blocks(url, storage)
        self._tiff = tifffile.TiffFile(self._file)
        self._pages = list_pages(self._tiff)

    @cached_property
    def scenes(self) -> Sequence[Scene]:  # type: ignore[override]
        """The images that OME-XML describes."""
        return [scene for scene, _ in self._scene_pages]

    @cached_property
    def _scene_pages(self) -> list[tuple[Scene, dict[PlaneIndex, int]]]:
        """The scenes, each with the pages of its planes."""
        ome_xml = self._tiff.ome_metadata
        if not ome_xml:
            raise Refused(
                "it has no OME-XML, which would describe its pages. Name each page by"
                " its frame in a LoadData table."
            )
        root = ElementTree.fromstring(ome_xml)
        for binary_only in _find_all(root, "BinaryOnly"):
            raise Refused(
                "it is one of several files, which are described in"
                f" {binary_only.get('MetadataFile', 'another file')}. Save the images"
                " as single OME-TIFF files."
            )
        _check_one_file(root)
        well_positions = _list_well_positions(root)
        return [
            self._describe_image(image, well_positions.get(image.get("ID", ""), {}))
            for image in _find_all(root, "Image")
        ]

    def _describe_image(
        self, image: ElementTree.Element, well_position: Mapping[str, str]
    ) -> tuple[Scene, dict[PlaneIndex, int]]:
        pixels = _find_all(image, "Pixels")[0]
        sizes = {axis: int(pixels.attrib[f"Size{axis}"]) for axis in "XYCZT"}
        channels = _find_all(pixels, "Channel")
        if any(int(channel.get("SamplesPerPixel", 1)) > 1 for channel in channels):
            # One page holds all colours: it is refused when it is read.
            sizes["C"] = len(channels)
        pages = self._match_pages(pixels, sizes)
        numbers = range(sizes["C"])
        names = [channel.get("Name", "") for channel in channels[: sizes["C"]]]
        scene = Scene(
            self._url,
            0,
            image.get("Name", ""),
            tuple(names + [""] * (sizes["C"] - len(names))),
            tuple(pages[PlaneIndex(channel, 0, 0)] for channel in numbers),
            sizes["Z"],
            sizes["T"],
            (sizes["Y"], sizes["X"]),
            well_position.get("plate"),
            well_position.get("well"),
            well_position.get("site"),
        )
        return scene, pages

    def _match_pages(
        self, pixels: ElementTree.Element, sizes: Mapping[str, int]
    ) -> dict[PlaneIndex, int]:
        """Return the number of the page of each plane."""
        numbers = {page.offset: number for number, page in enumerate(self._pages)}
        pages = {}
        for index, ifd in _list_ifds(pixels, sizes, len(self._tiff.pages)):
            pages[index] = numbers[self._tiff.pages[ifd].offset]
        missing = sizes["C"] * sizes["Z"] * sizes["T"] - len(pages)
        if missing:
            raise ValueError(f"{missing} planes of OME-XML have no page")
        return pages

    def read(
        self, series: int | None, frame: int | None, projection: str | None
    ) -> np.ndarray:
        """Read a page, or a projection of its stack, see `SceneFile.read`."""
        if projection is None or frame is None:
            number = choose_page(self._pages, len(self._pages), frame, series)
            return self._read_page(number)
        for scene, pages in self._scene_pages:
            for index, page in pages.items():
                if page == frame:
                    stack = [
                        pages[PlaneIndex(index.channel, z, index.time)]
                        for z in range(scene.n_z)
                    ]
                    return project_planes(projection, self._read_page, stack)
        raise Refused(f"frame {frame} is not one of the planes in its OME-XML")

    def read_plane(self, scene: Scene, index: PlaneIndex) -> np.ndarray:
        """Read one plane, see `SceneFile.read_plane`."""
        return self._read_page(dict(self._scene_pages)[scene][index])

    def _read_page(self, number: int) -> np.ndarray:
        page = self._pages[number]
        check_page(page)
        with self.lock:
            pixels = page.asarray()
        shape = (page.imagelength, page.imagewidth)
        return show_white_as_large(pixels.reshape(shape), page)

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "_file"):
            self._file.close()


def open_in_blocks(url: str, storage: Storage) -> BinaryIO:
    """Open a file in order to read small pieces of it, one after the other.

    Parameters
    ----------
    url : str
        Path or URL.
    storage : Storage
        Opens it.

    Returns
    -------
    file object
        Binary and seekable. From S3, whole blocks are fetched and cached.
    """
    file = storage.open(url)
    if not is_url(url) or isinstance(file, io.BytesIO):
        return file
    from fsspec.caching import BlockCache

    s3_file = cast("Any", file)
    s3_file.cache = BlockCache(BLOCK, s3_file.cache.fetcher, s3_file.size, maxblocks=64)
    return file


def _find_all(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """List the children of this name, from the schema of any year."""
    return [child for child in element if child.tag.rpartition("}")[2] == name]


def _list_well_positions(root: ElementTree.Element) -> dict[str, dict[str, str]]:
    """Map the IDs of images to their plate, well and site."""
    positions = {}
    for plate in _find_all(root, "Plate"):
        name = plate.get("Name") or plate.get("ExternalIdentifier")
        for well in _find_all(plate, "Well"):
            row, column = int(well.attrib["Row"]), int(well.attrib["Column"])
            samples = _find_all(well, "WellSample")
            for site, sample in enumerate(samples, start=1):
                for reference in _find_all(sample, "ImageRef"):
                    position = {"well": f"r{row + 1:02d}c{column + 1:02d}"}
                    position["site"] = str(site)
                    if name:
                        position["plate"] = name
                    positions[reference.attrib["ID"]] = position
    return positions


def _list_ifds(
    pixels: ElementTree.Element, sizes: Mapping[str, int], n_pages: int
) -> Iterator[tuple[PlaneIndex, int]]:
    """Yield each plane with the number of its page in the file."""
    # XYZCT: planes in z come first, then channels, then time.
    order = pixels.attrib["DimensionOrder"][2:]
    shape = [sizes[axis] for axis in reversed(order)]
    count = sizes["C"] * sizes["Z"] * sizes["T"]
    for tiff_data in _find_all(pixels, "TiffData"):
        # Without a number of planes or an IFD, it stands for all planes.
        default = 1 if "IFD" in tiff_data.attrib else min(count, n_pages)
        n_planes = int(tiff_data.get("PlaneCount", tiff_data.get("NumPlanes", default)))
        first = [int(tiff_data.get(f"First{axis}", 0)) for axis in reversed(order)]
        start = int(np.ravel_multi_index(first, shape))
        for step in range(min(n_planes, count - start)):
            ifd = int(tiff_data.get("IFD", 0)) + step
            if ifd >= n_pages:
                raise ValueError(f"page {ifd} of {n_pages} is not there")
            numbers = np.unravel_index(start + step, shape)
            indices = dict(zip(reversed(order), map(int, numbers)))
            yield PlaneIndex(indices["C"], indices["Z"], indices["T"]), ifd


def _check_one_file(root: ElementTree.Element) -> None:
    """Refuse an OME-XML that names planes in other files."""
    own_uuid = root.get("UUID")
    names = set()
    for image in _find_all(root, "Image"):
        for tiff_data in _find_all(_find_all(image, "Pixels")[0], "TiffData"):
            for uuid in _find_all(tiff_data, "UUID"):
                if uuid.text != own_uuid:
                    names.add(uuid.get("FileName") or str(uuid.text))
    # A single other name may be a former name of this file.
    if len(names) > 1 or (names and own_uuid):
        raise Refused(
            f"its planes lie in other files, such as {sorted(names)[0]}. Save the"
            " images as single OME-TIFF files."
        )
