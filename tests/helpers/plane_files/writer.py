"""TIFF files by hand: also those that no library writes."""

import struct
from dataclasses import dataclass, field

import numpy as np

# By the letter of `struct`: the number of the type in a TIFF file.
TYPES = {"H": 3, "I": 4, "Q": 16}
TEXT, BYTES = 2, 7
STRIPS, TILES, SUB_IFDS = (273, 279), (324, 325), 330


@dataclass
class Page:
    """A page: ``tags`` are number: (letter, values), or text, or bytes."""

    tags: dict
    blocks: list
    tiled: bool = False
    below: list = field(default_factory=list)
    backwards: bool = False


def pack(samples, bits, order="<"):
    """Pixels as they lie in a file; each row of packed ones begins a byte."""
    if bits in (8, 16, 32, 64):
        kind = np.dtype(f"{samples.dtype.kind.replace('b', 'u')}{bits // 8}")
        return samples.astype(kind.newbyteorder(order)).tobytes()
    shifts = np.arange(bits - 1, -1, -1)
    one_by_one = (samples.astype(np.int64)[..., None] >> shifts) & 1
    rows = one_by_one.astype(np.uint8).reshape(len(samples), -1)
    return np.packbits(rows, axis=1).tobytes()


def make_page(samples, bits=16, order="<", rows=None, encode=bytes, tags=None, **more):
    """A page (height, width) or (height, width, samples) in strips of some rows."""
    height, width, *n_samples = samples.shape
    rows = rows or height
    strips = [
        encode(pack(samples[start : start + rows], bits, order))
        for start in range(0, height, rows)
    ]
    numbers = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 277: 1, 278: rows}
    if n_samples:
        numbers[277] = n_samples[0]
    every = {number: ("H", value) for number, value in numbers.items()}
    if n_samples:
        every[258] = ("H", [bits] * n_samples[0])
    every.update(tags or {})
    kept = {number: value for number, value in every.items() if value is not None}
    return Page(kept, strips, **more)


def build_tiff(*pages, order="<", big=False):
    """A file of pages, in either byte order, BigTIFF or not."""
    out = bytearray(b"II" if order == "<" else b"MM")
    if big:
        out += struct.pack(f"{order}HHHQ", 43, 8, 0, 0)
    else:
        out += struct.pack(f"{order}HI", 42, 0)
    letter = "Q" if big else "I"
    link = len(out) - struct.calcsize(letter)
    for page in pages:
        start, after = _add_page(out, page, order, letter)
        struct.pack_into(order + letter, out, link, start)
        link = after
    return bytes(out)


def _add_page(out, page, order, letter):
    """Append a page; where it starts, and where the address of the next belongs."""
    blocks = list(enumerate(page.blocks))
    offsets = {}
    for number, block in reversed(blocks) if page.backwards else blocks:
        offsets[number] = _append(out, block)
    where, length = TILES if page.tiled else STRIPS
    tags = {
        where: (letter, [offsets[number] for number, _ in blocks]),
        length: (letter, [len(block) for block in page.blocks]),
        **page.tags,
    }
    if page.below:
        starts = [_add_page(out, sub, order, letter)[0] for sub in page.below]
        tags[SUB_IFDS] = (letter, starts)
    tags = {number: value for number, value in tags.items() if value is not None}
    entries = [_make_entry(out, *tag, order, letter) for tag in sorted(tags.items())]
    count = struct.pack(order + ("Q" if letter == "Q" else "H"), len(entries))
    start = _append(out, count + b"".join(entries) + bytes(struct.calcsize(letter)))
    return start, len(out) - struct.calcsize(letter)


def _make_entry(out, number, value, order, letter):
    if isinstance(value, str):
        kind, raw, count = TEXT, value.encode() + b"\0", len(value.encode()) + 1
    elif isinstance(value, bytes):
        kind, raw, count = BYTES, value, len(value)
    else:
        kind, values = TYPES[value[0]], np.atleast_1d(value[1]).tolist()
        raw, count = (
            struct.pack(f"{order}{len(values)}{value[0]}", *values),
            len(values),
        )
    room = struct.calcsize(letter)
    if len(raw) > room:
        raw = struct.pack(order + letter, _append(out, raw))
    return struct.pack(f"{order}HH{letter}", number, kind, count) + raw.ljust(
        room, b"\0"
    )


def _append(out, raw):
    if len(out) % 2:
        out.append(0)
    start = len(out)
    out.extend(raw)
    return start
