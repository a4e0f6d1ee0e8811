"""Illumination functions, read and applied as CellProfiler 4.2's LoadData and CorrectIlluminationApply do.

What CellProfiler does (``cellprofiler_core/image/_image.py``,
``.../abstract_image/file/_file_image.py``, ``bioformats/formatreader.py``,
``cellprofiler/modules/correctilluminationapply.py``):

- Image files, TIFF functions among them, become float32. Integers are divided by the
  range of their dtype, so that
  uint8 and uint16 come to lie in [0, 1]; floats keep their values. (NamesAndTypes does
  not rescale what it loads as an illumination function, but then integers are divided
  all the same.) A TIFF file with the tag MaxSampleValue, which is rare, would be
  divided by that instead: this is the one thing not followed here.
- ``.npy`` and ``.mat`` hold the function itself. It becomes float32 too: floats keep
  their values, integers are brought
  to [0, 1] by the range of their dtype, as Matlab's ``im2double`` does.
- The image is divided by the function, or the function subtracted; then what lies below
  0 becomes 0 and what lies above
  1 becomes 1, both by default.
"""

import io

import numpy as np

from stratonet.files.images import TIFF, decode_plane, name_damaged_file
from stratonet.files.urls import get_extension


def _load_mat(file):
    from scipy.io import loadmat

    variables = loadmat(file)
    if "Image" not in variables:
        held = (
            ", ".join(name for name in variables if not name.startswith("__")) or "none"
        )
        raise ValueError(f"it lacks the variable Image. It holds: {held}")
    return np.asarray(variables["Image"])


ARRAYS = {".npy": np.lib.format.read_array, ".mat": _load_mat}
METHODS = {"divide": np.divide, "subtract": np.subtract}


def read_function(content, name):
    """The illumination function in the bytes of a file.

    Parameters
    ----------
    content : bytes
    name : str
        The file's path or URL: its extension tells the format (.npy, .mat with the
        variable ``Image``, .tif, .tiff), and errors begin with it.

    Returns
    -------
    numpy.ndarray (height, width), float32

    Raises
    ------
    ValueError
        Another format, damaged, not two dimensions, empty, not numbers, NaN or
        infinite. The message names the file.
    """
    kind = get_extension(name)
    if kind in TIFF:
        function = _from_image(decode_plane(content, name))
    elif kind in ARRAYS:
        with name_damaged_file(name, content, "an illumination function"):
            function = ARRAYS[kind](io.BytesIO(content))
        if function.dtype.kind not in "uif" or function.ndim != 2 or not function.size:
            raise ValueError(
                f"{name}: an illumination function is one grey image, numbers of shape"
                f" (height, width). Received: shape {function.shape}, dtype"
                f" {function.dtype}. Give one file a channel."
            )
        function = _from_array(function)
    else:
        raise ValueError(
            f"{name}: illumination functions are read from"
            f" {', '.join([*ARRAYS, *TIFF])} files. Received: {kind!r}"
        )
    bad = function.size - np.count_nonzero(np.isfinite(function))
    if bad:
        raise ValueError(
            f"{name}: an illumination function is finite. Received: {bad} of"
            f" {function.size} values NaN or infinite. Calculate it anew."
        )
    return function


def correct(plane, function, method):
    """The plane without its uneven illumination, exactly as CorrectIlluminationApply gives it with its defaults.

    Parameters
    ----------
    plane : numpy.ndarray (height, width)
        As it lies in the image file: bool, integer or float.
    function : numpy.ndarray (height, width), float32
        See `read_function`.
    method : {"divide", "subtract"}
        "divide" for functions calculated as *Regular*, "subtract" for those calculated
        as *Background*.

    Returns
    -------
    numpy.ndarray (height, width), float32
        In [0, 1].

    Raises
    ------
    ValueError
        Plane and function differ in shape, or values become NaN or infinite because the
        function has zeros.
    """
    if method not in METHODS:
        raise ValueError(
            f"An illumination function divides or subtracts. Received: {method!r}"
        )
    if plane.shape != function.shape:
        raise ValueError(
            "Image and illumination function have the same shape. Received:"
            f" {plane.shape} and {function.shape}. Is it the function of another"
            " channel, plate or binning?"
        )
    with np.errstate(all="ignore"):
        corrected = METHODS[method](_from_image(plane), function)
    bad = corrected.size - np.count_nonzero(np.isfinite(corrected))
    if bad:
        raise ValueError(
            f"With its illumination function ({method}), {bad} of {corrected.size}"
            " pixels become NaN or infinite: the function has"
            f" {np.count_nonzero(function == 0)} zeros. Calculate it anew, rescaled to"
            " 1 and above."
        )
    return np.clip(corrected, 0, 1)


def _from_image(pixels):
    """Pixels of an image file as CellProfiler loads them, float32.

    See ``bioformats.formatreader.ImageReader.read``.
    """
    return pixels.astype(np.float32) / _span(pixels.dtype)


def _from_array(array):
    """An array as CellProfiler takes it for an image, float32.

    See ``cellprofiler_core.image.Image.set_image``.
    """
    lowest = np.iinfo(array.dtype).min if array.dtype.kind == "i" else 0
    with np.errstate(over="ignore"):  # beyond float32: infinite
        return (array.astype(np.float32) - np.float32(lowest)) / _span(array.dtype)


def _span(dtype):
    """What integers of a dtype are divided by.

    To Bio-Formats, pixels of one bit are bytes.
    """
    return np.float32(2.0 ** (8 * dtype.itemsize) - 1 if dtype.kind in "bui" else 1)
