"""Execution providers: which part of ONNX Runtime runs the network, by name.

By default that is the processor. A graphics card takes many planes at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stratonet.processor import read_instructions

if TYPE_CHECKING:
    import onnxruntime

CPU = "CPUExecutionProvider"
# Instructions of Intel's and AMD's processors whose sums of 8-bit products are exact.
MULTIPLY_INTEGERS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
AUTO = "auto"
# Short names, in the order in which "auto" tries them.
PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cpu": CPU,
}
# What brings a provider along. All of these take the place of onnxruntime.
PACKAGES = {
    "CUDAExecutionProvider": "onnxruntime-gpu",
    "TensorrtExecutionProvider": "onnxruntime-gpu, and NVIDIA's TensorRT",
    "OpenVINOExecutionProvider": "onnxruntime-openvino",
    "DmlExecutionProvider": "onnxruntime-directml, on Windows",
    "CoreMLExecutionProvider": "onnxruntime, on a Mac",
}
# The numbers are to be those of the processor: nothing is rounded to fewer digits.
OPTIONS: dict[str, dict[str, str]] = {
    "CUDAExecutionProvider": {"use_tf32": "0"},
    "OpenVINOExecutionProvider": {"device_type": "CPU", "precision": "FP32"},
}
# Planes that fill a card. Where its memory does not hold them, half as many are taken.
AT_ONCE = {
    "CUDAExecutionProvider": 64,
    "TensorrtExecutionProvider": 64,
    "DmlExecutionProvider": 64,
}


def open_session(
    content: bytes, provider: str = CPU
) -> tuple[onnxruntime.InferenceSession, str]:
    """Open a network on an execution provider.

    Parameters
    ----------
    content : bytes
        Of an ``.onnx`` file.
    provider : str
        A short name (``"cuda"``), ONNX Runtime's own (``"CUDAExecutionProvider"``), or
        ``"auto"`` for the first that works here.

    Returns
    -------
    session : onnxruntime.InferenceSession
    provider : str
        By ONNX Runtime's name.

    Raises
    ------
    ValueError
        The provider is not installed, or does not work on this machine; the message
        says what there is and what to install.
    """
    import onnxruntime

    there = onnxruntime.get_available_providers()
    if provider == AUTO:
        for name in PROVIDERS.values():
            session = _try_session(content, name) if name in there else None
            if session:
                return session, name
    name = PROVIDERS.get(provider.lower(), provider)
    if name not in there:
        raise ValueError(
            f"This ONNX Runtime has the providers {', '.join(there)}. Received:"
            f" {provider!r}.{_advise(name)}"
        )
    session = _try_session(content, name)
    if session is None:
        raise ValueError(
            f"{name} is installed, but does not work on this machine: is there such a"
            " device, with its driver? ONNX Runtime would have taken the processor in"
            f' its place. Received: provider {provider!r}; "auto" takes what works'
        )
    return session, name


def _advise(name: str) -> str:
    if name in PACKAGES:
        return f" Install {PACKAGES[name]}."
    return f" Known are {', '.join(PROVIDERS)} and {AUTO}."


def _try_session(content: bytes, name: str) -> onnxruntime.InferenceSession | None:
    """Open a network; None where the provider does not work here."""
    import onnxruntime

    chosen: Any = (name, OPTIONS[name]) if name in OPTIONS else name
    try:
        session = onnxruntime.InferenceSession(
            content, _make_options(name), providers=[chosen]
        )
    # Whatever a driver raises. On the processor it is the network that is wrong.
    except Exception:
        if name == CPU:
            raise
        return None
    return session if session.get_providers()[0] == name else None


def _make_options(name: str) -> onnxruntime.SessionOptions:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One plane per thread is faster than one plane on all cores, and the numbers do not
    # depend on how many cores there are.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # As DirectML asks for.
    options.enable_mem_pattern = name != "DmlExecutionProvider"
    # Products of 8-bit integers would overflow on processors without instructions for
    # them: there, slower ones give the same numbers as everywhere. Recent versions take
    # the slower ones elsewhere, too, when they are asked for.
    if not read_instructions() & MULTIPLY_INTEGERS:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options
