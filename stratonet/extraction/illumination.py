"""Illumination functions, decoded and applied as in CellProfiler 4.2.

This is what its modules LoadData and CorrectIlluminationApply do
(``cellprofiler_core/image/_image.py``, ``.../abstract_image/file/_file_image.py``,
``bioformats/formatreader.py``, ``cellprofiler/modules/correctilluminationapply.py``):

- Image files, including functions stored as TIFF, become float32. Integers are divided
  by the range of their dtype, so that uint8 and uint16 lie in [0, 1]; floats keep their
  values. (NamesAndTypes does not rescale what it loads as an illumination function, but
  integers are still divided.) CellProfiler would divide a TIFF file with the rare tag
  MaxSampleValue by that value instead: this is the only difference here.
- ``.npy`` and ``.mat`` hold the function itself. It becomes float32 too: floats keep
  their values, integers are scaled to [0, 1] by the range of their dtype, as by
  Matlab's ``im2double``.
- The image is divided by the function, or the function is subtracted from it; then, by
  default, values below 0 become 0 and values above 1 become 1.
"""

from __future__ import annotations

import io
from typing import IO

import numpy as np

from stratonet.files.images import TIFF, decode_plane, name_damaged_file
from stratonet.files.urls import get_extension

METHODS = {"divide": np.divide, "subtract": np.subtract}


def decode_function(content: bytes, name: str) -> np.ndarray:
    """Decode an illumination function from the bytes of its file.

    Parameters
    ----------
    content : bytes
        Content of the whole file.
    name : str
        Path or URL of the file, with which errors begin. Its extension gives the format
        (.npy, .mat with the variable ``Image``, .tif, .tiff).

    Returns
    -------
    numpy.ndarray (height, width), float32

    Raises
    ------
    ValueError
        The file has another format or is damaged, or the function is not
        two-dimensional, empty, not numeric, NaN or infinite. The message names the
        file.
    """
    extension = get_extension(name)
    if extension in TIFF:
        function = _scale_image(decode_plane(content, name))
    elif extension in _ARRAY_READERS:
        function = _scale_array(_decode_array(content, name, extension))
    else:
        raise ValueError(
            f"{name}: illumination functions are read from"
            f" {', '.join([*_ARRAY_READERS, *TIFF])} files. Received: {extension!r}"
        )
    n_bad = function.size - np.count_nonzero(np.isfinite(function))
    if n_bad:
        raise ValueError(
            f"{name}: an illumination function must be finite. Received: {n_bad} of"
            f" {function.size} values NaN or infinite. Calculate it anew."
        )
    return function


def correct_plane(plane: np.ndarray, function: np.ndarray, method: str) -> np.ndarray:
    """Correct a plane exactly as CorrectIlluminationApply does with its defaults.

    Parameters
    ----------
    plane : numpy.ndarray (height, width)
        As stored in the image file: bool, integer or float.
    function : numpy.ndarray (height, width), float32
        See `decode_function`.
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

    Examples
    --------
    >>> plane = np.array([[51, 102]], np.uint8)
    >>> correct_plane(plane, np.array([[1, 2]], np.float32), "divide").tolist()
    [[0.20000000298023224, 0.20000000298023224]]
    """
    if method not in METHODS:
        raise ValueError(
            f"`method` is one of {', '.join(METHODS)}. Received: {method!r}"
        )
    # NumPy would silently broadcast a function of one row or column over the plane.
    if plane.shape != function.shape:
        raise ValueError(
            "Image and illumination function must have the same shape. Received:"
            f" {plane.shape} and {function.shape}. Is it the function of another"
            " channel, plate or binning?"
        )
    # Zeros of the function raise an error with advice below, so no warning is needed.
    with np.errstate(all="ignore"):
        corrected = METHODS[method](_scale_image(plane), function)
    n_bad = corrected.size - np.count_nonzero(np.isfinite(corrected))
    if n_bad:
        raise ValueError(
            f"With its illumination function ({method}), {n_bad} of {corrected.size}"
            " pixels become NaN or infinite: the function has"
            f" {np.count_nonzero(function == 0)} zeros. Calculate it anew, rescaled to"
            " 1 and above."
        )
    return np.clip(corrected, 0, 1)


def _read_mat(file: IO[bytes]) -> np.ndarray:
    from scipy.io import loadmat

    variables = loadmat(file)
    if "Image" not in variables:
        names = [name for name in variables if not name.startswith("__")]
        variable_names = ", ".join(names) or "none"
        raise ValueError(f"it lacks the variable Image. It holds: {variable_names}")
    return np.asarray(variables["Image"])


def _read_npy(file: IO[bytes]) -> np.ndarray:
    # Not numpy.load, which would also accept .npz files and pickles.
    return np.lib.format.read_array(file)


_ARRAY_READERS = {".npy": _read_npy, ".mat": _read_mat}


def _decode_array(content: bytes, name: str, extension: str) -> np.ndarray:
    with name_damaged_file(name, content, "an illumination function"):
        array = _ARRAY_READERS[extension](io.BytesIO(content))
    is_number = array.dtype.kind in "uif"
    if not is_number or array.ndim != 2 or array.size == 0:
        raise ValueError(
            f"{name}: an illumination function must be one grey image, numbers of shape"
            f" (height, width). Received: shape {array.shape}, dtype {array.dtype}."
            " Give one file per channel."
        )
    return array


def _scale_image(pixels: np.ndarray) -> np.ndarray:
    """Scale pixels of an image file as CellProfiler does when loading it, float32.

    See ``bioformats.formatreader.ImageReader.read``.
    """
    return pixels.astype(np.float32) / _get_span(pixels.dtype)


def _scale_array(array: np.ndarray) -> np.ndarray:
    """Scale an array as CellProfiler does when it makes an image of it, float32.

    See ``cellprofiler_core.image.Image.set_image``.
    """
    lowest = np.iinfo(array.dtype).min if array.dtype.kind == "i" else 0
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and refused later
        shifted = array.astype(np.float32) - np.float32(lowest)
        return shifted / _get_span(array.dtype)


def _get_span(dtype: np.dtype) -> np.float32:
    """Return the number that integers of a dtype are divided by; 1 for floats."""
    if dtype.kind not in "bui":
        return np.float32(1)
    # Bio-Formats reads pixels of one bit as bytes.
    return np.float32(2.0 ** (8 * dtype.itemsize) - 1)
