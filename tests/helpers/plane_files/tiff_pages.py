"""TIFF files by what lies beside the plane: pages, previews, words that claim more."""

import numpy as np

from .plane_file import BYTES, DEEP, HEIGHT, WIDTH, PlaneFile, one_page, save, write
from .writer import build_tiff, make_page


def vary_pages():
    page, reduced = make_page(DEEP), {254: ("I", 1)}
    yield PlaneFile("two-pages.tif", build_tiff(page, page), DEEP, "a stack")
    small, other = make_page(DEEP[:9, :9]), make_page(BYTES, 8)
    mask = make_page(DEEP > 30000, 1, tags={254: ("I", 4)})
    for name, second in (("small", small), ("bytes", other), ("mask", mask)):
        content = build_tiff(page, second)
        yield PlaneFile(f"two-pages-{name}.tif", content, DEEP, "2 images")
    same = make_page(DEEP, tags=reduced)
    yield PlaneFile("all-reduced.tif", build_tiff(same), DEEP)
    yield PlaneFile("one-of-two-reduced.tif", build_tiff(page, same), DEEP)
    yield PlaneFile("two-reduced.tif", build_tiff(same, same), DEEP, "a stack")
    words = make_page(DEEP, tags={256: None, 257: None})
    yield PlaneFile("page-without-pixels.tif", build_tiff(page, words), DEEP)
    below = make_page(DEEP, below=[make_page(DEEP)])
    yield PlaneFile("page-below.tif", build_tiff(below), DEEP, "a stack")


def vary_previews():
    color = np.dstack([BYTES[:16, :20]] * 3)
    rgb = {262: ("H", 2)}
    reduced = {254: ("I", 1)}
    grey = make_page(DEEP[::2, ::2], tags=reduced)
    marked = make_page(color, 8, tags={**rgb, **reduced})
    unmarked = make_page(color, 8, tags=rgb)
    page = make_page(DEEP)
    for name, preview in (("grey", grey), ("rgb", marked)):
        yield PlaneFile(f"preview-{name}.tif", build_tiff(page, preview), DEEP)
        yield PlaneFile(f"preview-{name}-first.tif", build_tiff(preview, page), DEEP)
        above = make_page(DEEP, below=[preview])
        yield PlaneFile(f"preview-{name}-below.tif", build_tiff(above), DEEP)
    pyramid = build_tiff(page, grey, make_page(DEEP[::4, ::4], tags=reduced))
    yield PlaneFile("pyramid.tif", pyramid, DEEP)
    first = build_tiff(unmarked, page)
    yield PlaneFile("preview-unmarked-first.tif", first, DEEP, "2 images.*in colour")
    # Only CellProfiler's Images would take the preview for another plane.
    yield PlaneFile("preview-unmarked_frame0.tif", build_tiff(page, unmarked), DEEP)


def vary_claims():
    words = "ImageJ=1.53t\nimages=5\nslices=5\n"
    for how in ("raw", "tiff_lzw"):
        content = save(DEEP, "TIFF", compression=how, description=words)
        yield PlaneFile(f"imagej-cut-{how}.tif", content, DEEP)
    stack = np.concatenate([DEEP] * 5)
    page = make_page(stack, tags={257: ("H", HEIGHT), 270: words})
    page.tags[278] = ("H", HEIGHT)
    content = build_tiff(page)
    yield PlaneFile(
        "imagej-hidden.tif", content, DEEP, "5 planes, one behind", hidden=True
    )
    yield PlaneFile("imagej.tif", write(DEEP, imagej=True), DEEP)
    channels = write(np.stack([DEEP] * 2), imagej=True)
    yield PlaneFile("imagej-two.tif", channels, DEEP, "a stack")
    for name, index in (
        ("last", (..., None)),
        ("first", None),
        ("both", (None, ..., None)),
    ):
        yield PlaneFile(f"axis-{name}.tif", write(DEEP[index]), DEEP)
        yield PlaneFile(f"axis-{name}_frame0.tif", write(DEEP[index]), DEEP)
    for shape in ([5, HEIGHT, WIDTH], [WIDTH, HEIGHT]):
        words = f'{{"shape": {shape}}}'
        content = one_page(DEEP, tags={270: words})
        yield PlaneFile(f"shaped-{shape[0]}.tif", content, DEEP)
    truncated = write(np.stack([DEEP] * 3), truncate=True, photometric="minisblack")
    yield PlaneFile(
        "shaped-hidden.tif", truncated, DEEP, "3 planes, one behind", hidden=True
    )
    # Each row became a page.
    rows = write(np.stack([DEEP] * 2, axis=-1))
    yield PlaneFile("channels-last.tif", rows, DEEP, "a stack")
    yield PlaneFile("channels-last_frame0.tif", rows, DEEP, "the last axis seems")
    for name, words in (("xml", "<?xml?><MetaData/>"), ("broken", "<OME broken")):
        yield PlaneFile(f"words-{name}.tif", one_page(DEEP, tags={270: words}), DEEP)


def vary_frames():
    planes = [DEEP, DEEP[::-1], DEEP[:, ::-1]]
    stack = build_tiff(*map(make_page, planes))
    for number, plane in enumerate(planes):
        yield PlaneFile(f"stack_frame{number}.tif", stack, plane)
    yield PlaneFile("stack_frame3.tif", stack, DEEP, "file holds 3")
    white = build_tiff(make_page(DEEP), make_page(planes[1], tags={262: ("H", 0)}))
    yield PlaneFile("white_frame1.tif", white, 65535 - planes[1])
    imagej = write(np.stack(planes), imagej=True)
    ome = write(np.stack(planes), ome=True, photometric="minisblack")
    for number in (0, 2):
        plane = planes[number]
        yield PlaneFile(f"imagej_frame{number}.tif", imagej, plane)
        yield PlaneFile(f"ome_frame{number}.ome.tif", ome, plane)
    reduced = make_page(planes[1], tags={254: ("I", 1)})
    content = build_tiff(make_page(DEEP), reduced, make_page(planes[2]))
    yield PlaneFile("skipped_frame1.tif", content, planes[2])
    unlike = build_tiff(make_page(DEEP), make_page(BYTES[:16, :20], 8))
    yield PlaneFile("unlike_frame1.tif", unlike, BYTES[:16, :20], "differs from")
    lzw = save(DEEP, "TIFF", compression="tiff_lzw")
    yield PlaneFile("lzw_frame0.tif", lzw, DEEP)


def vary_ome():
    for options in ({}, {"bigtiff": True}, {"tile": (16, 32)}, {"compression": "zlib"}):
        name = "-".join(options) or "plain"
        yield PlaneFile(f"ome-{name}.ome.tif", write(DEEP, ome=True, **options), DEEP)
    stack = write(np.stack([DEEP] * 3), ome=True, photometric="minisblack")
    yield PlaneFile("ome-stack.ome.tif", stack, DEEP, "a stack")
    claims = {
        "channels": make_ome(channels=3),
        "slices": make_ome(slices=5),
        "times": make_ome(times=5),
        "elsewhere": make_ome(channels=2, files=["ome-elsewhere.ome.tif", "gone.tif"]),
        "second": make_ome(channels=2, files=["gone.tif", "ome-second.ome.tif"]),
        "renamed": make_ome(files=["another.ome.tif"]),
        "signed": make_ome(kind="int16"),
    }
    for name, words in claims.items():
        content = one_page(DEEP, tags={270: words})
        yield PlaneFile(f"ome-{name}.ome.tif", content, DEEP)
    white = one_page(DEEP, tags={262: ("H", 0), 270: make_ome()})
    yield PlaneFile("ome-white.ome.tif", white, 65535 - DEEP)
    pages = build_tiff(make_page(DEEP, tags={270: make_ome()}), make_page(DEEP))
    yield PlaneFile("ome-more-pages.ome.tif", pages, DEEP, "a stack")
    yield PlaneFile("ome-named.tif", write(DEEP, ome=True), DEEP)


def make_ome(channels=1, slices=1, times=1, kind="uint16", files=()):
    """OME-XML of an image whose planes perhaps lie in several files."""
    told = "<TiffData/>"
    if files:
        told = "".join(
            f'<TiffData FirstC="{number}" IFD="0" PlaneCount="1">'
            f'<UUID FileName="{name}">'
            f"urn:uuid:00000000-0000-0000-0000-00000000000{number}</UUID></TiffData>"
            for number, name in enumerate(files)
        )
    shown = "".join(
        f'<Channel ID="Channel:0:{number}" SamplesPerPixel="1"/>'
        for number in range(channels)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
        ' UUID="urn:uuid:00000000-0000-0000-0000-000000000000"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="{kind}" SizeX="{WIDTH}"'
        f' SizeY="{HEIGHT}" SizeZ="{slices}" SizeC="{channels}" SizeT="{times}">'
        f"{shown}{told}</Pixels></Image></OME>"
    )
