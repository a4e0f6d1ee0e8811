"""The little of the ONNX format that is needed to read a card and to cut a network after its last wanted tap.

ONNX Runtime computes every node of a graph, wanted or not (measured: asking for the low
tap alone took as long as for all three), so the nodes behind the last wanted tap must
go. The messages below declare only the fields that are touched; protobuf carries all
others through unchanged. The field numbers are those of the ONNX specification.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TEXT, _MESSAGE = 9, 11
_SCHEMA = {
    "ValueInfoProto": {"name": (1, _TEXT, "")},
    "TensorProto": {"name": (8, _TEXT, "")},
    "NodeProto": {"input": (1, _TEXT, "*"), "output": (2, _TEXT, "*")},
    "StringStringEntryProto": {"key": (1, _TEXT, ""), "value": (2, _TEXT, "")},
    "GraphProto": {
        "node": (1, "NodeProto", "*"),
        "initializer": (5, "TensorProto", "*"),
        "input": (11, "ValueInfoProto", "*"),
        "output": (12, "ValueInfoProto", "*"),
    },
    "ModelProto": {
        "graph": (7, "GraphProto", ""),
        "metadata_props": (14, "StringStringEntryProto", "*"),
    },
}


def _model_class():
    file = descriptor_pb2.FileDescriptorProto(
        name="stratonet_onnx.proto", package="stratonet_onnx", syntax="proto2"
    )
    for message, fields in _SCHEMA.items():
        descriptor = file.message_type.add(name=message)
        for name, (number, kind, repeated) in fields.items():
            field = descriptor.field.add(
                name=name, number=number, label=3 if repeated else 1
            )
            if kind == _TEXT:
                field.type = _TEXT
            else:
                field.type, field.type_name = _MESSAGE, f".stratonet_onnx.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("stratonet_onnx.ModelProto")
    )


def read_model(content):
    """Parse the bytes of an ``.onnx`` file.

    Google.protobuf.message.DecodeError if they are none.
    """
    return _model_class().FromString(content)


def read_metadata(model):
    """The file's metadata as a dict of str to str."""
    return {entry.key: entry.value for entry in model.metadata_props}


def cut_after(model, outputs):
    """The bytes of ``model`` with only ``outputs``, without the nodes and weights that these do not need."""
    graph = model.graph
    needed = set(outputs)
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if needed.isdisjoint(node.output):
            del graph.node[index]
        else:
            needed.update(node.input)
    for values, wanted in ((graph.initializer, needed), (graph.output, outputs)):
        for index in reversed(range(len(values))):
            if values[index].name not in wanted:
                del values[index]
    return model.SerializeToString()
