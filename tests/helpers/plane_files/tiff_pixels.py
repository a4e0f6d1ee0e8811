"""TIFF files by what a pixel is, and how pixels are stored."""

import zlib

import numpy as np
from PIL import Image

from .plane_file import (
    BYTES,
    DEEP,
    HEIGHT,
    ORDERS,
    REVERSED,
    SMOOTH,
    WIDTH,
    PlaneFile,
    one_page,
    save,
    take_bits,
    write,
)
from .writer import build_tiff, make_page, pack

SIGNED, FLOAT, COMPLEX = 2, 3, 6
DEFLATE = 8


def vary_bits():
    for name, order in ORDERS.items():
        for bits in (1, 2, 4, 6, 8, 10, 12, 14, 16, 32):
            pixels = take_bits(bits)
            content = one_page(pixels, bits, order)
            packed = bits not in (1, 8, 16, 32)
            yield PlaneFile(f"bits{bits}-{name}.tif", content, pixels, package=packed)
        for bits in (24, 64):
            pixels = take_bits(bits if bits == 64 else 16)
            content = one_page(pixels, bits, order)
            yield PlaneFile(f"bits{bits}-{name}.tif", content, pixels, "integers of")
    default = one_page(take_bits(1), 1, tags={258: None})
    yield PlaneFile("bits-not-told.tif", default, take_bits(1))


def vary_numbers():
    signed, floating = {339: ("H", SIGNED)}, {339: ("H", FLOAT)}
    for name, order in ORDERS.items():
        for bits in (8, 16, 32):
            pixels = (take_bits(bits).astype(np.int64) - 2 ** (bits - 1)) // 3
            content = one_page(pixels, bits, order, tags=signed)
            yield PlaneFile(f"int{bits}-{name}.tif", content, pixels)
        for bits in (16, 32, 64):
            pixels = (DEEP / 7 - 3000).astype(f"f{bits // 8}")
            content = one_page(pixels, bits, order, tags=floating)
            yield PlaneFile(f"float{bits}-{name}.tif", content, pixels)
            content = one_page(pixels, bits, order, tags={**floating, 262: ("H", 0)})
            yield PlaneFile(f"whitefloat{bits}-{name}.tif", content, pixels, "is white")
    whole = take_bits(62).astype(np.int64)
    content = one_page(whole, 64, tags=signed)
    yield PlaneFile("int64.tif", content, whole, "integers of")
    undefined = one_page(DEEP, tags={339: ("H", 4)})
    yield PlaneFile("undefined.tif", undefined, DEEP)
    numbers = (DEEP + 1j).astype(np.complex64)
    content = one_page(numbers.view(np.uint64), 64, tags={339: ("H", COMPLEX)})
    yield PlaneFile("complex.tif", content, numbers.real, "complex")
    camera = {280: ("H", 0), 281: ("H", 4095)}
    yield PlaneFile("range.tif", one_page(take_bits(12), tags=camera), take_bits(12))


def vary_white():
    white = {262: ("H", 0)}
    for name, order in ORDERS.items():
        for bits in (1, 4, 8, 12, 16, 32):
            stored = take_bits(bits)
            content = one_page(stored, bits, order, tags=white)
            shown = 2**bits - 1 - stored.astype(np.int64)
            file = f"white{bits}-{name}.tif"
            yield PlaneFile(file, content, shown, package=bits in (4, 12))
        for bits in (8, 16, 32):
            stored = (take_bits(bits).astype(np.int64) - 2 ** (bits - 1)) // 3
            tags = {**white, 339: ("H", SIGNED)}
            content = one_page(stored, bits, order, tags=tags)
            yield PlaneFile(f"whiteint{bits}-{name}.tif", content, -1 - stored)
    shown, options = 65535 - DEEP, {"photometric": "miniswhite"}
    makes = {
        "strips": {"rowsperstrip": 5},
        "tiles": {"tile": (16, 32)},
        "deflate": {"compression": "zlib", "predictor": True},
        "bigtiff": {"bigtiff": True, "byteorder": ">"},
        "imagej": {"imagej": True},
        "ome": {"ome": True},
    }
    for make, more in makes.items():
        yield PlaneFile(f"white-{make}.tif", write(DEEP, **options, **more), shown)
    for samples in (BYTES, DEEP):
        bits = 8 * samples.itemsize
        tags = {262: 0, 274: 6}
        content = save(samples, "TIFF", compression="tiff_lzw", tiffinfo=tags)
        # Pillow itself inverts bytes when it writes them, and no others.
        shown = samples if bits == 8 else np.invert(samples)
        yield PlaneFile(f"white-lzw{bits}.tif", content, shown)
    ranged = {**white, 280: ("H", 0), 281: ("H", 4095)}
    content = one_page(take_bits(12), tags=ranged)
    yield PlaneFile("white-range.tif", content, 65535 - take_bits(12).astype(int))


def vary_bit_order():
    for bits in (1, 4, 8, 12, 16):
        pixels = take_bits(bits)
        page = make_page(pixels, bits, tags={266: ("H", 2)})
        page.blocks = [block.translate(REVERSED) for block in page.blocks]
        file = f"reversed{bits}.tif"
        yield PlaneFile(file, build_tiff(page), pixels, package=bits in (4, 12))
    page.tags[262] = ("H", 0)
    yield PlaneFile("reversed-white.tif", build_tiff(page), 65535 - DEEP)
    tags = {266: ("H", 2), 259: ("H", DEFLATE)}
    page = make_page(DEEP, encode=zlib.compress, tags=tags)
    page.blocks = [block.translate(REVERSED) for block in page.blocks]
    yield PlaneFile("reversed-deflate.tif", build_tiff(page), DEEP)


def vary_strips_and_tiles():
    for name, order in ORDERS.items():
        yield PlaneFile(f"strips-{name}.tif", one_page(DEEP, 16, order, rows=5), DEEP)
        tiles = write(DEEP, tile=(16, 32), byteorder=order)
        yield PlaneFile(f"tiles-{name}.tif", tiles, DEEP)
        big = build_tiff(make_page(DEEP, order=order), order=order, big=True)
        yield PlaneFile(f"bigtiff-{name}.tif", big, DEEP)
    backwards = build_tiff(make_page(DEEP, rows=5, backwards=True))
    yield PlaneFile("strips-backwards.tif", backwards, DEEP)
    packed = one_page(take_bits(12), 12, rows=5)
    yield PlaneFile("strips-of-12-bits.tif", packed, take_bits(12), package=True)
    for bits in (1, 4, 12):
        pixels = take_bits(bits)
        content = make_tiles(pixels, bits)
        refused = "tiles of" if bits > 1 else ""
        yield PlaneFile(f"tiles-of-{bits}-bits.tif", content, pixels, refused)
    yield PlaneFile("one-tile.tif", write(DEEP, tile=(64, 64)), DEEP)
    whole = 2**32 - 1
    for name, rows in (("none", None), ("all", ("I", whole))):
        yield PlaneFile(f"rows-{name}.tif", one_page(DEEP, tags={278: rows}), DEEP)
    for planar in (1, 2):
        content = one_page(DEEP, tags={284: ("H", planar)})
        yield PlaneFile(f"planar{planar}.tif", content, DEEP)
    content = one_page(DEEP, tags={279: ("I", 0)})
    yield PlaneFile("no-bytes-told.tif", content, DEEP, "too few bytes")
    for turn in (3, 6):
        content = one_page(DEEP, tags={274: ("H", turn)})
        yield PlaneFile(f"orientation{turn}.tif", content, DEEP)
        content = save(DEEP, "TIFF", compression="tiff_lzw", tiffinfo={274: turn})
        yield PlaneFile(f"orientation{turn}-lzw.tif", content, DEEP)


def make_tiles(samples, bits, side=16):
    """Square tiles, which reach beyond the image."""
    height, width = (-(-size // side) * side for size in samples.shape)
    whole = np.zeros((height, width), samples.dtype)
    whole[: len(samples), : samples.shape[1]] = samples
    tags = {278: None, 322: ("H", side), 323: ("H", side)}
    page = make_page(samples, bits, tags=tags, tiled=True)
    page.blocks = [
        pack(whole[top : top + side, left : left + side], bits)
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]
    return build_tiff(page)


def vary_compression():
    for kind in (np.uint8, np.uint16, np.float32):
        pixels = (DEEP % 251).astype(kind)
        for how in ("tiff_lzw", "packbits", "tiff_deflate", "tiff_adobe_deflate"):
            content = save(pixels, "TIFF", compression=how)
            yield PlaneFile(f"{how}-{kind.__name__}.tif", content, pixels)
    bits = DEEP > 30000
    for how in ("group3", "group4", "tiff_ccitt", "packbits"):
        content = save(Image.fromarray(bits), "TIFF", compression=how)
        yield PlaneFile(f"bits-{how}.tif", content, bits)
    content = save(SMOOTH, "TIFF", compression="jpeg")
    yield PlaneFile("jpeg.tif", content, SMOOTH, close=8)
    content = save(SMOOTH, "TIFF", compression="jpeg", tiffinfo={262: 0})
    yield PlaneFile("jpeg-white.tif", content, SMOOTH, "JPEG pixels", close=8)
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return
    tiles = {"tile": (16, 32), "compression": "lzw", "predictor": True}
    yield PlaneFile("tiles-lzw.tif", write(DEEP, **tiles), DEEP)
    for how in ("jpeg2000", "zstd", "lzma", "png", "lerc"):
        yield PlaneFile(f"{how}.tif", write(DEEP, compression=how), DEEP)
    deep = write(SMOOTH.astype(np.uint16), compression="jpeg")
    yield PlaneFile("jpeg-12-bits.tif", deep, SMOOTH, "JPEG pixels")


def vary_predictors():
    for kind in (np.uint8, np.uint16, np.uint32):
        pixels = DEEP.astype(kind)
        differences = np.diff(pixels, axis=1, prepend=kind(0))
        tags = {259: ("H", DEFLATE), 317: ("H", 2)}
        bits = 8 * pixels.itemsize
        for name, order in ORDERS.items():
            how = {"encode": zlib.compress, "tags": tags}
            content = one_page(differences, bits, order, **how)
            yield PlaneFile(f"predictor-{bits}-{name}.tif", content, pixels)
    tags = {317: 2}
    for samples in (BYTES, DEEP):
        content = save(samples, "TIFF", compression="tiff_lzw", tiffinfo=tags)
        yield PlaneFile(f"predictor-lzw{samples.itemsize}.tif", content, samples)
    # There is no predictor where there is no compression.
    for rows, refused in ((None, ""), (5, "no compression")):
        content = one_page(DEEP, rows=rows, tags={317: ("H", 2)})
        yield PlaneFile(f"predictor-raw-{rows}.tif", content, DEEP, refused)
    floats = DEEP.astype(np.float32) / 7
    page = make_page(_shuffle(floats), 8, encode=zlib.compress)
    page.tags.update({256: ("H", WIDTH), 258: ("H", 32), 259: ("H", DEFLATE)})
    page.tags.update({317: ("H", 3), 339: ("H", FLOAT)})
    yield PlaneFile("predictor-float.tif", build_tiff(page), floats)


def _shuffle(floats):
    """Rows of floats as predictor 3 lays them: bytes of one weight together."""
    rows = floats.astype(">f4").view(np.uint8).reshape(HEIGHT, WIDTH, 4)
    rows = rows.transpose(0, 2, 1).reshape(HEIGHT, -1)
    return np.diff(rows, axis=1, prepend=np.uint8(0))


def vary_colors():
    colors = np.dstack([BYTES, 255 - BYTES, BYTES // 2])
    seen = "colour"
    rgb = write(colors, photometric="rgb")
    yield PlaneFile("rgb.tif", rgb, BYTES, seen)
    planar = {"photometric": "rgb", "planarconfig": "separate"}
    planes = write(np.moveaxis(colors, -1, 0), **planar)
    yield PlaneFile("rgb-planes.tif", planes, BYTES, seen)
    clear = np.dstack([DEEP, DEEP])
    with_alpha = one_page(clear, tags={338: ("H", 2)})
    yield PlaneFile("grey-alpha.tif", with_alpha, DEEP, "2 values per pixel")
    ink = one_page(np.dstack([BYTES] * 4), 8, tags={262: ("H", 5)})
    yield PlaneFile("cmyk.tif", ink, BYTES, seen)
    ramp = np.arange(256)
    none = 0 * ramp
    palettes = {
        "grey": [ramp * 257] * 3,
        "low": [ramp] * 3,
        "white": [ramp[::-1] * 257] * 3,
        "green": [none, ramp * 257, none],
    }
    for name, palette in palettes.items():
        tags = {262: ("H", 3), 320: ("H", np.concatenate(palette))}
        refused = "palette" if name in ("white", "green") else ""
        content = one_page(BYTES, 8, tags=tags)
        yield PlaneFile(f"palette-{name}.tif", content, BYTES, refused)
    for bits, step, refused in ((1, 257, ""), (2, 257, ""), (4, 4369, "palette")):
        tags = {262: ("H", 3), 320: ("H", np.tile(np.arange(2**bits) * step, 3))}
        content, pixels = one_page(take_bits(bits), bits, tags=tags), take_bits(bits)
        file = f"palette{bits}.tif"
        yield PlaneFile(file, content, pixels, refused, package=bits == 2)
    content = one_page(BYTES, 8, tags={262: ("H", 3)})
    yield PlaneFile("palette-none.tif", content, BYTES)
    for name, number, refused in (
        ("rgb", 2, ""),
        ("cmyk", 5, seen),
        ("ycbcr", 6, seen),
    ):
        content = one_page(BYTES, 8, tags={262: ("H", number)})
        yield PlaneFile(f"one-of-{name}.tif", content, BYTES, refused)
    # ImageJ keeps the colour in which a channel is shown so.
    tags = {320: ("H", np.concatenate(palettes["green"]))}
    yield PlaneFile("lookup-table.tif", one_page(BYTES, 8, tags=tags), BYTES)
    for name, number in (("mask", 4), ("lab", 8), ("camera", 32803)):
        tags = {262: ("H", number)}
        yield PlaneFile(f"photometric-{name}.tif", one_page(BYTES, 8, tags=tags), BYTES)
    yield PlaneFile("photometric-none.tif", one_page(DEEP, tags={262: None}), DEEP)
