"""PNG and JPEG files of one plane, and files whose names tell another kind."""

import struct
import zlib

from PIL import Image

from .plane_file import BYTES, DEEP, SMOOTH, PlaneFile, one_page, save, take_bits
from .writer import pack

GREY, PALETTE = 0, 3
# Where the pixels of the seven passes of an interlaced PNG begin, and their steps.
PASSES = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


def vary_png():
    for bits in (1, 2, 4, 8, 16):
        pixels = take_bits(bits)
        yield PlaneFile(f"grey{bits}.png", make_png(pixels, bits), pixels)
        clear = [(b"tRNS", b"\0\1")]
        yield PlaneFile(f"clear{bits}.png", make_png(pixels, bits, clear), pixels)
    for bits in (1, 8, 16):
        content = make_png(take_bits(bits), bits, interlaced=True)
        yield PlaneFile(f"interlaced{bits}.png", content, take_bits(bits), "interlaced")
    yield PlaneFile("filters.png", save(DEEP, "PNG"), DEEP)
    gamma, camera = (b"gAMA", struct.pack(">I", 45455)), (b"sBIT", b"\x0c")
    for name, chunk in (("gamma", gamma), ("12-bits", camera)):
        yield PlaneFile(f"{name}.png", make_png(DEEP, 16, [chunk]), DEEP)
    words = (b"zTXt", b"scene\0\0" + zlib.compress(bytes(3_000_000)))
    yield PlaneFile("words.png", make_png(BYTES, 8, [words]), BYTES)
    ramps = {"grey": range(256), "white": range(255, -1, -1), "part": range(200)}
    for name, ramp in ramps.items():
        chunk = (b"PLTE", bytes(grey for grey in ramp for _ in "rgb"))
        pixels = BYTES % len(ramp)
        content = make_png(pixels, 8, [chunk], kind=PALETTE)
        refused = "" if name == "grey" else "palette"
        yield PlaneFile(f"palette-{name}.png", content, pixels, refused)
    chunk = (b"PLTE", bytes([0, 0, 0, 255, 255, 255]))
    content = make_png(take_bits(1), 1, [chunk], kind=PALETTE)
    yield PlaneFile("palette1.png", content, take_bits(1), "palette")
    image = Image.fromarray(BYTES)
    for mode in ("RGB", "RGBA", "LA"):
        content = save(image.convert(mode), "PNG")
        yield PlaneFile(f"{mode}.png", content, BYTES, f"colour.*{mode}")
    frames = save(
        image, "PNG", save_all=True, append_images=[Image.fromarray(255 - BYTES)]
    )
    yield PlaneFile("frames.png", frames, BYTES, "2 frames")
    yield PlaneFile(
        "tiff-inside.png", one_page(DEEP, tags={262: ("H", 0)}), 65535 - DEEP
    )
    inside = make_png(DEEP, 16)
    yield PlaneFile("png-inside.tif", inside, DEEP, "holds a PNG image")


def vary_jpeg():
    turned = Image.Exif()
    turned[274] = 6
    makes = {
        "plain": {},
        "progressive": {"progressive": True},
        "turned": {"exif": turned},
    }
    for name, options in makes.items():
        content = save(SMOOTH, "JPEG", quality=95, **options)
        yield PlaneFile(f"{name}.jpg", content, SMOOTH, close=8)
    color = save(Image.fromarray(SMOOTH).convert("RGB"), "JPEG")
    yield PlaneFile("rgb.jpg", color, SMOOTH, "colour")


def make_png(samples, bits, chunks=(), kind=GREY, interlaced=False):
    """A PNG file by hand, of any bit depth."""
    height, width = samples.shape
    parts = [samples]
    if interlaced:
        parts = [samples[top::down, left::right] for top, left, down, right in PASSES]
    raw = b"".join(_filter_rows(part, bits) for part in parts if part.size)
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced)
    every = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_make_chunk(*chunk) for chunk in every)


def _filter_rows(samples, bits):
    packed = pack(samples, bits, ">")
    width = len(packed) // len(samples)
    # Each row begins with the number of its filter: none.
    return b"".join(
        b"\0" + packed[start : start + width] for start in range(0, len(packed), width)
    )


def _make_chunk(name, content):
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check
