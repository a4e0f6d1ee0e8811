"""The parts of the ONNX format needed to read and write a card and to cut a network.

ONNX Runtime computes every node of a graph, whether it is needed or not (measured:
asking for the low tap alone took as long as for all three), so the nodes behind the
last requested tap must be removed. The messages below declare only the fields that are
used here; protobuf passes all others through unchanged. The field numbers are those of
the ONNX specification.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TEXT, _MESSAGE = 9, 11
_OPTIONAL, _REPEATED = 1, 3
# The fields of each message: number, type (text or the name of a message), label.
_SCHEMA: dict[str, dict[str, tuple[int, int | str, int]]] = {
    "ValueInfoProto": {"name": (1, _TEXT, _OPTIONAL)},
    "TensorProto": {"name": (8, _TEXT, _OPTIONAL)},
    "NodeProto": {
        "input": (1, _TEXT, _REPEATED),
        "output": (2, _TEXT, _REPEATED),
    },
    "StringStringEntryProto": {
        "key": (1, _TEXT, _OPTIONAL),
        "value": (2, _TEXT, _OPTIONAL),
    },
    "GraphProto": {
        "node": (1, "NodeProto", _REPEATED),
        "initializer": (5, "TensorProto", _REPEATED),
        "input": (11, "ValueInfoProto", _REPEATED),
        "output": (12, "ValueInfoProto", _REPEATED),
    },
    "ModelProto": {
        "graph": (7, "GraphProto", _OPTIONAL),
        "metadata_props": (14, "StringStringEntryProto", _REPEATED),
    },
}
# Key of the card in the file's metadata.
CARD = "card"


# Protobuf creates these classes at run time, so type checkers cannot know them.
@cache
def _get_model_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="stratonet_onnx.proto", package="stratonet_onnx", syntax="proto2"
    )
    for message, fields in _SCHEMA.items():
        descriptor = file.message_type.add(name=message)
        for name, (number, field_type, label) in fields.items():
            field = descriptor.field.add(name=name, number=number, label=label)
            if isinstance(field_type, str):
                field.type = _MESSAGE
                field.type_name = f".stratonet_onnx.{field_type}"
            else:
                field.type = field_type
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("stratonet_onnx.ModelProto")
    )


def read_model(content: bytes) -> Any:
    """Parse the bytes of an ``.onnx`` file.

    Raises
    ------
    google.protobuf.message.DecodeError
        They are not those of an ``.onnx`` file.
    """
    return _get_model_class().FromString(content)


def read_metadata(model: Any) -> dict[str, str]:
    """Return the file's metadata."""
    return {entry.key: entry.value for entry in model.metadata_props}


def set_metadata(model: Any, key: str, value: str) -> None:
    """Set one entry of the file's metadata, replacing an older one."""
    others = {name: text for name, text in read_metadata(model).items() if name != key}
    model.ClearField("metadata_props")
    for name, text in {**others, key: value}.items():
        model.metadata_props.add(key=name, value=text)


def list_outputs(model: Any) -> list[str]:
    """Return the names of the network's outputs."""
    return [value.name for value in model.graph.output]


def cut_after(model: Any, outputs: Collection[str]) -> bytes:
    """Cut a model down to what some of its outputs need.

    Parameters
    ----------
    model : ModelProto
        From `read_model`. It is modified in place.
    outputs : collection of str
        Outputs to keep.

    Returns
    -------
    bytes
        An ``.onnx`` file without the nodes and weights that these outputs do not need.
    """
    graph = model.graph
    needed = set(outputs)
    # Nodes are listed in the order in which they are computed. Going backwards, all
    # users of a node's output are known before the node is reached.
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if needed.isdisjoint(node.output):
            del graph.node[index]
        else:
            needed.update(node.input)
    _keep_named(graph.initializer, needed)
    _keep_named(graph.output, outputs)
    return model.SerializeToString()


def _keep_named(values: Any, names: Collection[str]) -> None:
    for index in reversed(range(len(values))):
        if values[index].name not in names:
            del values[index]
