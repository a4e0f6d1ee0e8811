"""Small files of microscopes, whose pixels tell where they belong.

OME-Zarr, OME-TIFF and CZI are written by the libraries that write them. Of ND2 and LIF
there are no writers: files are put together here as their readers describe them, chunk
by chunk.
"""

import json
import struct
from xml.sax.saxutils import quoteattr

import numpy as np
import tifffile

HEIGHT, WIDTH = 48, 64
CHANNELS = ("DAPI", "GFP")


def plane(*numbers, shape=(HEIGHT, WIDTH)):
    """A 16-bit plane, the same for the same numbers."""
    rng = np.random.default_rng(numbers)
    return rng.gamma(2, 300, shape).astype(np.uint16)


def stack(scene, n_channels=2, n_z=1, n_times=1, shape=(HEIGHT, WIDTH)):
    """The planes of a scene: time, z, channel, height, width."""
    return np.array(
        [
            [
                [plane(scene, t, z, c, shape=shape) for c in range(n_channels)]
                for z in range(n_z)
            ]
            for t in range(n_times)
        ]
    )


# OME-Zarr


def write_zarr_plate(
    folder, wells=("A/1", "B/2"), fields=2, n_z=1, version="0.4", **how
):
    """A plate as NGFF 0.4 or 0.5 lays it out; return the planes by well and field."""
    rows, columns = sorted({w[0] for w in wells}), sorted({w[2:] for w in wells})
    plate = {
        "name": "Plate 7",
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": column} for column in columns],
        "wells": [{"path": well} for well in wells],
    }
    write_group(folder, {"plate": plate}, version)
    written = {}
    for number, well in enumerate(wells):
        images = [{"path": str(field)} for field in range(fields)]
        write_group(folder / well, {"well": {"images": images}}, version)
        for field in range(fields):
            planes = stack(10 * number + field, n_z=n_z)
            write_zarr_image(folder / well / str(field), planes, version, **how)
            written[well, field] = planes
    return written


def write_zarr_image(folder, planes, version="0.4", channels=CHANNELS, labels=()):
    """An image whose axes are t, c, z, y, x, in chunks of 32 pixels; and its labels."""
    write_array(folder / "0", planes.transpose(0, 2, 1, 3, 4), version)
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space"} for name in "zyx"]
    multiscale = {"axes": axes, "datasets": [{"path": "0"}]}
    named = [{"label": name} for name in channels]
    metadata = {"multiscales": [multiscale], "omero": {"channels": named}}
    write_group(folder, metadata, version)
    for name, label in labels:
        write_group(folder / "labels", {"labels": [name]}, version)
        write_array(folder / "labels" / name / "0", label[None, None, None], version)
        of_label = {"multiscales": [multiscale], "image-label": {}}
        write_group(folder / "labels" / name, of_label, version)


def write_group(folder, metadata, version):
    """The JSON files of a group."""
    folder.mkdir(parents=True, exist_ok=True)
    if version == "0.4":
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
        (folder / ".zattrs").write_text(json.dumps(metadata))
        return
    attributes = {"ome": {"version": version, **metadata}}
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    (folder / "zarr.json").write_text(json.dumps(group))


def write_array(folder, array, version):
    """An array, by the zarr that is here."""
    import zarr

    chunks = (1,) * (array.ndim - 2) + (32, 32)
    if zarr.__version__.startswith("2"):
        how = {"dimension_separator": "/"}
        written = zarr.open(
            str(folder), "w", shape=array.shape, chunks=chunks, dtype=array.dtype, **how
        )
    else:
        is_old = version == "0.4"
        how = {"chunks": chunks, "zarr_format": 2} if is_old else {"zarr_format": 3}
        if is_old:
            how["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
        else:
            # Shards, of which only parts are read.
            how.update(chunks=chunks, shards=array.shape[:-2] + (64, 64))
        written = zarr.create_array(
            str(folder), shape=array.shape, dtype=array.dtype, overwrite=True, **how
        )
    written[...] = array


# OME-TIFF


def write_ome_tiff(
    path, scenes, wells=None, order="XYCZT", channels=CHANNELS, pyramid=False
):
    """Scenes as images of one OME-TIFF file; ``wells`` gives row and column of each."""
    pages, images, samples = [], [], {}
    for number, planes in enumerate(scenes):
        n_times, n_z, n_channels, height, width = planes.shape
        axes = {"T": 0, "Z": 1, "C": 2}
        # The slowest axis first, as pages follow each other.
        moved = planes.transpose(*(axes[a] for a in reversed(order[2:])), 3, 4)
        images.append(
            f'<Image ID="Image:{number}" Name="Position {number}"><Pixels ID="Pixels:'
            f'{number}" DimensionOrder="{order}" Type="uint16" SizeX="{width}"'
            f' SizeY="{height}" SizeC="{n_channels}" SizeZ="{n_z}" SizeT="{n_times}">'
            + "".join(
                f'<Channel ID="Channel:{number}:{c}" SamplesPerPixel="1"'
                f" Name={quoteattr(name)}/>"
                for c, name in enumerate(channels[:n_channels])
            )
            + f'<TiffData IFD="{len(pages)}" PlaneCount="{n_times * n_z * n_channels}"'
            "/></Pixels></Image>"
        )
        pages.extend(moved.reshape(-1, height, width))
        if wells:
            samples.setdefault(wells[number], []).append(number)
    plate = ""
    if wells:
        plate = '<Plate ID="Plate:0" Name="Plate 7">'
        for count, ((row, column), numbers) in enumerate(samples.items()):
            plate += f'<Well ID="Well:0:{count}" Row="{row}" Column="{column}">'
            for number in numbers:
                plate += (
                    f'<WellSample ID="WellSample:{number}" Index="{number}">'
                    f'<ImageRef ID="Image:{number}"/></WellSample>'
                )
            plate += "</Well>"
        plate += "</Plate>"
    words = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org'
        f'/Schemas/OME/2016-06" UUID="urn:uuid:1">{plate}{"".join(images)}</OME>'
    )
    with tifffile.TiffWriter(path) as writer:
        for number, page in enumerate(pages):
            writer.write(
                page,
                description=words if number == 0 else None,
                metadata=None,
                contiguous=False,
                subifds=int(pyramid),
            )
            if pyramid:
                writer.write(page[::2, ::2], subfiletype=1, metadata=None)


# CZI


def write_czi(path, scenes, wells=(), channels=CHANNELS):
    """Scenes side by side in a CZI file, by Zeiss's own writer."""
    from pylibCZIrw import czi

    with czi.create_czi(str(path), exist_ok=True) as file:
        for number, planes in enumerate(scenes):
            for (t, z, c), _ in np.ndenumerate(planes[..., 0, 0]):
                file.write(
                    planes[t, z, c][..., None],
                    plane={"T": t, "Z": z, "C": c},
                    scene=number,
                    location=(100 * number, 7),
                )
        file.write_metadata(channel_names=dict(enumerate(channels)))
    if wells:
        _name_wells(path, wells)


def _name_wells(path, wells):
    """Write wells into the metadata, as ZEN has them."""
    from xml.etree import ElementTree

    from pylibCZIrw import czi

    with czi.edit_czi(str(path)) as editor, editor.edit_session() as builder:
        root = ElementTree.fromstring(builder.get_xml())
        dimensions = root.find("./Metadata/Information/Image/Dimensions")
        for name in ("S",):
            for old in dimensions.findall(name):
                dimensions.remove(old)
        scenes = ElementTree.SubElement(
            ElementTree.SubElement(dimensions, "S"), "Scenes"
        )
        for number, well in enumerate(wells):
            scene = ElementTree.SubElement(
                scenes, "Scene", Index=str(number), Name=f"P{number + 1}"
            )
            ElementTree.SubElement(scene, "ArrayName").text = well
        builder.set_xml(ElementTree.tostring(root, encoding="unicode"))


# ND2

ND2_MAGIC = 0x0ABECEDA
ND2_MAP_END = b"ND2 CHUNK MAP SIGNATURE 0000001!"


def write_nd2(path, scenes, positions=None, channels=CHANNELS):
    """Scenes as the positions of an ND2 file, of the layout of NIS-Elements 4."""
    n_times, n_z, n_channels, height, width = scenes[0].shape
    loops = []
    if n_times > 1:
        times = [_tell("double", n, 1) for n in ("dStart", "dPeriod", "dDuration")]
        loops.append(_tell_loop(1, n_times, "".join(times)))
    if len(scenes) > 1 or positions:
        points = "".join(
            f'<no_name runtype="NDSetupMultipointListItem">'
            f"{_tell('CLxStringW', 'dPosName', name)}</no_name>"
            for name in positions or [""] * len(scenes)
        )
        loops.append(_tell_loop(2, len(scenes), f"<Points>{points}</Points>"))
    if n_z > 1:
        loops.append(_tell_loop(4, n_z, _tell("double", "dZStep", 1.5)))
    experiment = ""
    for loop in reversed(loops):
        inner = f"<ppNextLevelEx><no_name>{experiment}</no_name></ppNextLevelEx>"
        experiment = loop + (inner if experiment else "")
    frames = []
    for t in range(n_times):
        for planes in scenes:
            for z in range(n_z):
                # Channels lie beside each other in each pixel.
                frames.append(np.ascontiguousarray(planes[t, z].transpose(1, 2, 0)))
    sizes = {
        "uiWidth": width,
        "uiHeight": height,
        "uiComp": n_channels,
        "uiWidthBytes": width * n_channels * 2,
        "uiBpcInMemory": 16,
        "uiBpcSignificant": 16,
        "uiSequenceCount": len(frames),
        "eCompression": 2,
    }
    attributes = "".join(_tell("lx_uint32", *item) for item in sizes.items())
    planes = "".join(
        f"<a{c}>{_tell('lx_uint32', 'uiCompCount', 1)}"
        f"{_tell('CLxStringW', 'sDescription', name)}<pFluorescentProbe>"
        f"{_tell('CLxStringW', 'm_sName', name)}</pFluorescentProbe></a{c}>"
        for c, name in enumerate(channels[:n_channels])
    )
    picture = (
        _tell("bool", "bCalibrated", "true")
        + _tell("double", "dCalibration", 0.65)
        + f"<sPicturePlanes>{_tell('lx_uint32', 'uiCount', n_channels)}"
        f"<sPlaneNew>{planes}</sPlaneNew></sPicturePlanes>"
    )
    chunks = [
        (b"ImageAttributes!", _tell_variant(attributes)),
        (b"ImageMetadataSeq|0!", _tell_variant(picture)),
    ]
    if experiment:
        chunks.append((b"ImageMetadata!", _tell_variant(experiment)))
    chunks += [
        (
            f"ImageDataSeq|{number}!".encode(),
            struct.pack("<d", number) + frame.tobytes(),
        )
        for number, frame in enumerate(frames)
    ]
    path.write_bytes(_join_chunks(chunks))


def _tell(runtype, name, value):
    return f'<{name} runtype="{runtype}" value={quoteattr(str(value))}/>'


def _tell_loop(kind, count, parameters):
    inside = _tell("lx_uint32", "uiCount", count) + parameters
    return f"{_tell('lx_uint32', 'eType', kind)}<uLoopPars>{inside}</uLoopPars>"


def _tell_variant(words):
    return f'<variant version="1.0"><no_name>{words}</no_name></variant>'.encode()


def _join_chunks(chunks):
    content = struct.pack(
        "<IIQ32s64s", ND2_MAGIC, 32, 64, b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver2.1"
    )
    entries = b""
    for name, data in chunks:
        entries += name + struct.pack("<QQ", len(content), len(data))
        content += _make_chunk(name, data)
    where = len(content)
    entries += ND2_MAP_END + struct.pack("<Q", where)
    content += _make_chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", entries)
    return content + ND2_MAP_END + struct.pack("<Q", where)


def _make_chunk(name, data):
    # Names have so much room that the pixels of a frame begin at a multiple of 4096.
    name = name.ljust(4072, b"\0")
    return struct.pack("<IIQ", ND2_MAGIC, len(name), len(data)) + name + data


# LIF


def write_lif(path, scenes, names, channels=CHANNELS, tiles=0):
    """Scenes as the images of a LIF file of version 2, in folders by their names."""
    root = {}
    for number, name in enumerate(names):
        *folders, last = name.split("/")
        at = root
        for folder in folders:
            at = at.setdefault(folder, {})
        at[last] = number
    words = (
        '<LMSDataContainerHeader Version="2"><Element Name="Project" UniqueID="p">'
        f"<Data><Experiment/></Data>{_tell_folder(root, scenes, channels, tiles)}"
        "</Element></LMSDataContainerHeader>"
    )
    content = _make_block(words)
    for number, planes in enumerate(scenes):
        pixels = planes.tobytes()
        name = f"MemBlock_{number}"
        content += struct.pack(
            "<IIBQBI", 0x70, 2 * len(name) + 14, 0x2A, len(pixels), 0x2A, len(name)
        )
        content += name.encode("utf-16-le") + pixels
    path.write_bytes(content)


def _make_block(words):
    length = len(words)
    return struct.pack("<IIBI", 0x70, 2 * length + 5, 0x2A, length) + words.encode(
        "utf-16-le"
    )


def _tell_folder(folder, scenes, channels, tiles):
    words = ""
    for name, inner in folder.items():
        if isinstance(inner, dict):
            inside = _tell_folder(inner, scenes, channels, tiles)
            words += (
                f"<Element Name={quoteattr(name)}><Data><Experiment/></Data>{inside}"
                "</Element>"
            )
        else:
            words += _tell_image(name, inner, scenes[inner], channels, tiles)
    return f"<Children>{words}</Children>"


def _tell_image(name, number, planes, channels, tiles):
    n_times, n_z, n_channels, height, width = planes.shape
    of_plane = height * width * 2
    described = "".join(
        f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="16"'
        f' NameOfMeasuredQuantity="" Min="0" Max="65535" Unit="" LUTName={quoteattr(c)}'
        f' IsLUTInverted="0" BytesInc="{i * of_plane}" BitInc="0"/>'
        for i, c in enumerate(channels[:n_channels])
    )
    sizes = [(1, width, 2), (2, height, 2 * width)]
    if n_z > 1:
        sizes.append((3, n_z, n_channels * of_plane))
    if n_times > 1:
        sizes.append((4, n_times, n_z * n_channels * of_plane))
    if tiles:
        sizes.append((10, tiles, n_z * n_times * n_channels * of_plane))
    dimensions = "".join(
        f'<DimensionDescription DimID="{axis}" NumberOfElements="{count}" Origin="0"'
        f' Length="1" Unit="m" BytesInc="{step}" BitInc="0"/>'
        for axis, count, step in sizes
    )
    return (
        f'<Element Name={quoteattr(name)} UniqueID="{number}"><Data><Image>'
        f"<ImageDescription><Channels>{described}</Channels><Dimensions>{dimensions}"
        f"</Dimensions></ImageDescription></Image></Data><Memory Size="
        f'"{planes.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
    )
