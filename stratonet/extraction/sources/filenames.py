"""How instruments name their files.

To add a convention, add an example of a path and a regular expression here. The
expression is searched for in the whole path, and begins at the start of a folder's
name. Its groups are those of `stratonet.extraction.sources.folders.read_folder`. For a
value that may be at two positions of a path there are two groups, the second with an
underscore at the end (``Z`` and ``Z_``); the first that matches something is used.
"""

from __future__ import annotations

import re

_PLATE_FOLDER = r"(?:^|/)(?P<Plate>[^/]+)/"
_EXTENSION = r"(?:\.ome)?\.\w+$"
_GUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
# A01, and other spellings: A1, a01, A-01. Small letters only up to p, the last row of
# 384 wells: s1, t1, w1 and z1 are site, time, wavelength and height.
_WELL = r"(?P<Row>[A-Z]{1,2}|[a-p])-?(?P<Column>\d{1,3})"
# The well is the last part that looks like one: plate_B2_A01_s1_w1.tif
_PREFIX = r"(?:[^/]*_)?"
# <any>_A01_s1_w1<GUID>.tif, all but the well and w1 optional
_METAXPRESS = (
    rf"{_PREFIX}{_WELL}(?:_s(?P<Site>\d+))?_(?P<Channel>w\d{{1,2}})(?:{_GUID})?"
    rf"{_EXTENSION}"
)
# <any>_t0_A01_s1_w1_z1_t1<GUID>.tif, all but the well optional. Since any name may end
# like a well, a folder TimePoint_1, a site, a wavelength or a GUID is required as well.
_IMAGEXPRESS = (
    rf"(?:{_PREFIX}t(?P<Time_>\d+)_|[^/]*_)?{_WELL}(?(Time)|(?=_[sw]\d|{_GUID}))"
    r"(?:_s(?P<Site>\d+))?(?:_(?P<Channel>w\d{1,2}))?(?:_z(?P<Z_>\d+))?"
    rf"(?:_t(?P<Time__>\d+))?(?:{_GUID})?{_EXTENSION}"
)
# Names that users of an Incucyte give to the channels that they export.
_COLOURS = (
    "(?i:phase|brightfield|green|red|orange|blue|nir|near[ -]?ir|gfp|rfp|yfp|cfp|dapi"
    "|fitc|cy3|cy5|mcherry)"
)

READY_PATTERNS = {
    # <plate>/Images/HTS_A01_s1_w1<GUID>.tif, as the cellpainting-gallery keeps JUMP
    "jump": rf"{_PLATE_FOLDER}Images/{_METAXPRESS}",
    # <plate>/TimePoint_1/ZStep_1/HTS_A01_s1_w1<GUID>.tif;
    # <plate>/experiment_z_stack/timepoint0/HTS_t0_A01_s0_w0_z0.tif from HCS.ai
    "imagexpress": (
        rf"{_PLATE_FOLDER}(?:experiment(?P<Experiment>_\w+)?/)?"
        r"(?:[Tt]ime[Pp]oint_?(?P<Time>\d+)/)?(?:ZStep_(?P<Z>\d+)/)?"
        rf"{_IMAGEXPRESS}"
    ),
    # <plate>__2021-05-02T16_02_51-Measurement1/Images/r01c01f01p01-ch2sk1fk1fl1.tiff;
    # since Harmony 5.3 r01c01f01p01-ch02t01.tiff, optionally in a folder for each well
    "phenix": (
        r"(?:^|/)(?P<Plate>[^/]+?)(?:__\d{4}-\d\d-\d\dT[^/]*)?/(?:hs/[\da-f-]{36}/)?"
        r"(?:[Ii]mages/)?(?:r\d+c\d+/)?"
        r"r(?P<Row>\d+)c(?P<Column>\d+)f(?P<Site>\d+)p(?P<Plane>\d+)"
        rf"-(?P<Channel>ch\d+)(?:sk(?P<Time>\d+)\w*|t(?P<Time_>\d+))?{_EXTENSION}"
    ),
    # <plate>/AssayPlate_Greiner_#781896_A02_T0001F001L01A01Z01C01.tif: the text before
    # the well names the type of plate. On plates of 1536 wells, A02.a1, A02.a2, A02.b1
    # and A02.b2 are the quarters of a well of 384
    "cellvoyager": (
        rf"{_PLATE_FOLDER}[^/]*_(?:(?P<Well>[A-Z]\d\d\.[a-z]\d)|{_WELL})"
        r"_T(?P<Time>\d+)F(?P<Site>\d+)L\d+A\d+Z(?P<Z>\d+)(?P<Channel>C\d+)"
        rf"{_EXTENSION}"
    ),
    # <plate>/A - 01(fld 1 wv 390 - Blue).tif, without fld if there is only one field;
    # <plate>/A - 01(fld 1 wv UV - DAPI z 3 time 2 - 2636ms).tif
    "incell": (
        rf"{_PLATE_FOLDER}(?:[^/]*[_ ])?(?P<Row>[A-Z]{{1,2}}) - (?P<Column>\d{{1,3}})"
        r"\((?:fld (?P<Site>\d+) )?wv (?P<Channel>[^/]+?)(?: wix \d+)?"
        r"(?: z (?P<Z>\d+))?(?: wix \d+)?(?:(?: -)? time (?P<Time>\d+) - \d+ ?ms)?\)"
        rf"{_EXTENSION}"
    ),
    # <plate>/VID12_Phase_A1_1_00d00h00m.tif, <plate>/phase/VID12_A1_1_00d00h00m.tif;
    # or with dates: VID12_A1_1_2026y10m05d_14h30m.tif
    "incucyte": (
        rf"{_PLATE_FOLDER}(?:(?P<Channel_>{_COLOURS})/)?"
        rf"(?:{_PREFIX}(?P<Channel>{_COLOURS})_|[^/]*_)?{_WELL}_(?P<Site>\d+)"
        r"_(?P<Time>(?:\d{4}y\d\dm\d\dd_)?(?:\d+d)?\d\dh\d\dm)(?:_[^/_]+)?"
        rf"{_EXTENSION}"
    ),
    # ScanData/2401/15/1430/<plate>/A1-1-Ph.tif, the archive of an Incucyte
    "incucyte-archive": (
        r"(?:^|/)ScanData/(?P<Time>\d{4}/\d\d/\d{4})/(?P<Plate>[^/]+)/"
        rf"{_WELL}-(?P<Site>\d+)-(?P<Channel>\w+){_EXTENSION}"
    ),
    # <plate>/002003-1-001001002.tif, as Columbus exports planes: row, column, field,
    # time, height, channel. Its index file, if there is one, says more
    "columbus": (
        rf"{_PLATE_FOLDER}(?P<Row>\d{{3}})(?P<Column>\d{{3}})-(?P<Site>\d+)"
        rf"-(?P<Time>\d{{3}})(?P<Z>\d{{3}})(?P<Channel>\d{{3}}){_EXTENSION}"
    ),
    # <plate>/MFGTMP_140206180002_A01f00d0.TIF, as Cellomics exports them
    "cellomics": (
        rf"{_PLATE_FOLDER}{_PREFIX}{_WELL}f(?P<Site>\d+)(?P<Channel>d\d+){_EXTENSION}"
    ),
}

# The name of the only channel, if the names of files do not have one.
ONLY_CHANNEL = {"imagexpress": "w1", "incucyte": "Image"}

# Images that instruments keep beside those of a plate, and that are not reported as
# skipped: thumbnails, and CellVoyager's images of empty fields, used for corrections.
_BESIDE_IMAGES = re.compile(
    r"(?:^|/)thumb(?:nail)?s?/|thumb[^/]*$|(?:^|/)(?:DC|SC)_[^/]*_(?:CAM|CH)\d+\.\w+$",
    re.IGNORECASE,
)


def is_beside_images(path: str) -> bool:
    """Return whether a file that no pattern matches is a thumbnail or correction image.

    Parameters
    ----------
    path : str
        Path or URL.

    Examples
    --------
    >>> is_beside_images("P/TimePoint_1/P_A01_s1_w1_thumb.tif")
    True
    """
    return _BESIDE_IMAGES.search(path) is not None
