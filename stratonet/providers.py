"""Execution providers: which part of ONNX Runtime runs the network, by name.

By default that is the processor. A graphics card takes many planes at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stratonet.processor import read_instructions

if TYPE_CHECKING:
    import onnxruntime

CPU = "CPUExecutionProvider"
# Instructions of Intel and AMD processors that sum 8-bit products exactly.
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
# The package that installs a provider. All of these replace onnxruntime.
PACKAGES = {
    "CUDAExecutionProvider": "onnxruntime-gpu",
    "TensorrtExecutionProvider": "onnxruntime-gpu, and NVIDIA's TensorRT",
    "OpenVINOExecutionProvider": "onnxruntime-openvino",
    "DmlExecutionProvider": "onnxruntime-directml, on Windows",
    "CoreMLExecutionProvider": "onnxruntime, on a Mac",
}
# These give the same numbers as the processor: nothing is rounded to fewer digits.
OPTIONS: dict[str, dict[str, str]] = {
    "CUDAExecutionProvider": {"use_tf32": "0"},
    "OpenVINOExecutionProvider": {"device_type": "CPU", "precision": "FP32"},
}
# Planes that fill a graphics card. If its memory does not hold them, half as many are
# taken.
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
        says which providers there are and what to install.
    """
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if provider == AUTO:
        for name in PROVIDERS.values():
            session = _try_session(content, name) if name in available else None
            if session:
                return session, name
    name = PROVIDERS.get(provider.lower(), provider)
    if name not in available:
        raise ValueError(
            f"This ONNX Runtime has the providers {', '.join(available)}. Received:"
            f" {provider!r}.{_advise(name)}"
        )
    session = _try_session(content, name)
    if session is None:
        raise ValueError(
            f"{name} is installed, but does not work on this machine: is there such a"
            " device, with its driver? ONNX Runtime would have used the processor"
            f' instead. Received: provider {provider!r}; "auto" takes one that works'
        )
    return session, name


def _advise(name: str) -> str:
    if name in PACKAGES:
        return f" Install {PACKAGES[name]}."
    return f" Known names are {', '.join(PROVIDERS)} and {AUTO}."


def _try_session(content: bytes, name: str) -> onnxruntime.InferenceSession | None:
    """Open a network; return None if the provider does not work here."""
    import onnxruntime

    chosen: Any = (name, OPTIONS[name]) if name in OPTIONS else name
    try:
        session = onnxruntime.InferenceSession(
            content, _make_options(name), providers=[chosen]
        )
    # Drivers raise errors of all kinds. On the processor, the fault is the network's.
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
    # DirectML requires this.
    options.enable_mem_pattern = name != "DmlExecutionProvider"
    # Sums of 8-bit products would overflow on processors without instructions for them:
    # there, slower code gives the same numbers as everywhere. It is requested only
    # there, because recent versions would use it on other processors, too.
    if not read_instructions() & MULTIPLY_INTEGERS:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options
