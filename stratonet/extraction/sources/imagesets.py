"""Sources of image sets: tables, folders and the plates of the cellpainting-gallery, all in one *normal form*.

One row an image set. Its columns, in this order:

    Metadata_*        as the source gives them; always Metadata_Plate and Metadata_Well
    URL_<X>           for each channel X: where its image is, an absolute path or a URL; None where no file is named
    Frame_<X>         the plane in a stack and the image in the file, from 0; only where the source gives them
    Series_<X>
    Illumination_<X>  where the illumination function of X is; only where the source gives it
    Labels_<N>        for each label image N: where it is
"""

from stratonet.files.urls import redact_url

OF_CHANNEL = ("URL", "Frame", "Series", "Illumination")


def list_channels(frame):
    """The names of the channels of a frame in normal form."""
    return [name.removeprefix("URL_") for name in frame if name.startswith("URL_")]


def choose_channels(frame, channels, source):
    """The frame with some of its channels under other names: ``{new: old}``."""
    there = list_channels(frame)
    unknown = [name for name in channels.values() if name not in there]
    if unknown:
        raise ValueError(
            f"{redact_url(source)} has the channels {', '.join(there)}. Received:"
            f" {', '.join(unknown)}. Choose among them."
        )
    taken = [
        (f"{kind}_{old}", f"{kind}_{new}")
        for new, old in channels.items()
        for kind in OF_CHANNEL
        if f"{kind}_{old}" in frame
    ]
    metadata, labels = (
        [name for name in frame if name.startswith(kind)]
        for kind in ("Metadata_", "Labels_")
    )
    chosen = frame[[*metadata, *(old for old, _ in taken), *labels]]
    chosen.columns = [*metadata, *(new for _, new in taken), *labels]
    return chosen
