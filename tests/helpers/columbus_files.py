"""A small plate as Columbus exports it."""

import numpy as np
import tifffile
from microscope_files import CHANNELS, HEIGHT, WIDTH, stack


def write_columbus(folder, wells=((1, 1), (2, 3)), n_z=1):
    """A plate as Columbus exports it: an index, and a file of all planes of a well."""
    images, written = "", {}
    for number, (row, column) in enumerate(wells):
        file = f"{row:03d}{column:03d}-1.tif"
        planes = stack(number, n_z=n_z)[0]
        pages = planes.reshape(-1, HEIGHT, WIDTH)
        tifffile.imwrite(folder / file, pages, photometric="minisblack", metadata=None)
        written[row, column] = planes
        for page, (z, channel) in enumerate(np.ndindex(n_z, len(CHANNELS))):
            images += (
                f'<Image Version="1"><id>{number}-{page}</id><State>Ok</State>'
                f'<URL BufferNo="{page}">{file}</URL><Row>{row}</Row>'
                f"<Col>{column}</Col><FieldID>1</FieldID><PlaneID>{z + 1}</PlaneID>"
                f"<TimepointID>1</TimepointID><ChannelID>{channel + 1}</ChannelID>"
                f"<ChannelName>{CHANNELS[channel]} 488</ChannelName></Image>"
            )
    (folder / "ImageIndex.ColumbusIDX.xml").write_text(
        '<?xml version="1.0"?><EvaluationInputData Version="1" xmlns='
        '"http://www.perkinelmer.com/Columbus"><Plates><Plate>'
        '<PlateID>Plate 7</PlateID><Well id="227003"/></Plate></Plates>'
        '<Wells><Well><id>227003</id><Image id="0"/>'
        f"</Well></Wells><Images>{images}</Images></EvaluationInputData>"
    )
    return written
