"""A small vision transformer of random weights, as somebody else's exporter makes it.

Patch embedding, one attention block, mean over the tokens; NCHW, and none of our cards.
"""

import numpy as np

WIDTH, PATCH, SIDE = 24, 8, 32


def build_transformer(path, planes=3, batch="n", sides=(SIDE, SIDE), over_batch=False):
    """Write the transformer; ``over_batch`` makes each row depend on its neighbours.

    Outputs: ``patch_mean`` and ``tokens_mean`` (n, 24), ``tokens`` (n, tokens, 24).
    """
    from onnx import TensorProto, checker, helper, numpy_helper, save

    random = np.random.default_rng(5)
    weights = {
        "patch": random.normal(0, 0.2, (WIDTH, planes, PATCH, PATCH)),
        **{name: random.normal(0, 0.3, (WIDTH, WIDTH)) for name in "qkv"},
        "scale": np.array(WIDTH**-0.5),
        "gain": np.ones(WIDTH),
        "shift": np.zeros(WIDTH),
    }
    constants = [
        numpy_helper.from_array(value.astype(np.float32), name)
        for name, value in weights.items()
    ]
    constants.append(
        numpy_helper.from_array(np.array([0, WIDTH, -1], np.int64), "flat")
    )
    node = helper.make_node
    nodes = [
        node("Conv", ["pixels", "patch"], ["patches"], strides=[PATCH, PATCH]),
        node("Reshape", ["patches", "flat"], ["columns"]),
        node("Transpose", ["columns"], ["embedded"], perm=[0, 2, 1]),
        node("ReduceMean", ["embedded"], ["patch_mean"], axes=[1], keepdims=0),
        node("MatMul", ["embedded", "q"], ["query"]),
        node("MatMul", ["embedded", "k"], ["key"]),
        node("MatMul", ["embedded", "v"], ["value"]),
        node("Transpose", ["key"], ["key_columns"], perm=[0, 2, 1]),
        node("MatMul", ["query", "key_columns"], ["products"]),
        node("Mul", ["products", "scale"], ["scores"]),
        node("Softmax", ["scores"], ["attention"], axis=-1),
        node("MatMul", ["attention", "value"], ["attended"]),
        node("Add", ["embedded", "attended"], ["residual"]),
        node("LayerNormalization", ["residual", "gain", "shift"], ["tokens"]),
        node("ReduceMean", ["tokens"], ["mean"], axes=[1], keepdims=0),
    ]
    if over_batch:
        nodes.append(node("ReduceMean", ["mean"], ["all"], axes=[0], keepdims=1))
        nodes.append(node("Add", ["mean", "all"], ["tokens_mean"]))
    else:
        nodes.append(node("Identity", ["mean"], ["tokens_mean"]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "transformer",
        [value("pixels", TensorProto.FLOAT, [batch, planes, *sides])],
        [
            value("patch_mean", TensorProto.FLOAT, [batch, WIDTH]),
            value("tokens", TensorProto.FLOAT, [batch, None, WIDTH]),
            value("tokens_mean", TensorProto.FLOAT, [batch, WIDTH]),
        ],
        constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    checker.check_model(model)
    save(model, str(path))
    return path
