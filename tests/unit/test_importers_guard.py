"""What an ONNX file may not be, and the one form that the rest is brought into."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from wetgate.importers import Limits
from wetgate.model.errors import ModelLoadError

onnx = pytest.importorskip("onnx", reason="the guard reads ONNX")
from onnx import TensorProto, helper  # noqa: E402
from support.graphs import constant, conv_model, external, identity, model  # noqa: E402
from wetgate.importers import onnx_guard  # noqa: E402
from wetgate.importers.onnx_clean import clean  # noqa: E402
from wetgate.importers.reach import static_reach  # noqa: E402

LIMITS = Limits()


def refused(made: Any, message: str, limits: Limits = LIMITS) -> None:
    with pytest.raises(ModelLoadError, match=message):
        parsed = onnx_guard.parse(made.SerializeToString(), limits)
        onnx_guard.vet(parsed, limits, inlined=False)
        cleaned = clean(parsed, limits)
        onnx_guard.vet(cleaned.model, limits)
        onnx_guard.measure_shapes(cleaned.model, limits)


def accepted(made: Any, limits: Limits = LIMITS) -> Any:
    parsed = onnx_guard.parse(made.SerializeToString(), limits)
    onnx_guard.vet(parsed, limits, inlined=False)
    cleaned = clean(parsed, limits)
    onnx_guard.vet(cleaned.model, limits)
    onnx_guard.measure_shapes(cleaned.model, limits)
    return cleaned


def test_a_plain_network_passes() -> None:
    for scale in (1, 2):
        assert accepted(conv_model(scale=scale)).notes == ()


@pytest.mark.parametrize("location", ["weights.bin", "/etc/passwd", "../../secret", "C:\\x"])
def test_weights_outside_the_file(location: str) -> None:
    refused(external(conv_model(), location), "lie outside the file")
    made = conv_model()
    entry = made.graph.initializer[1].external_data.add()
    entry.key, entry.value = "location", location
    refused(made, "lie outside the file")


def test_weights_outside_in_hidden_places() -> None:
    outside = external(conv_model(), "w.bin").graph.initializer[0]
    node = helper.make_node("Constant", [], ["unused"], value=constant("v", [1.0]))
    node.attribute[0].t.CopyFrom(outside)
    refused(identity(node), "lie outside the file")
    branch = helper.make_graph(
        [helper.make_node("Identity", ["w1"], ["o"])],
        "b",
        [],
        [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)],
        [outside],
    )
    choice = helper.make_node("If", ["c"], ["unused"], then_branch=branch, else_branch=branch)
    made = identity(choice)
    made.graph.initializer.append(constant("c", True, np.bool_))
    refused(made, "lie outside the file")


@pytest.mark.parametrize("op", ["Loop", "Scan", "RandomNormal", "Multinomial", "StringNormalizer"])
def test_operations_that_no_picture_needs(op: str) -> None:
    refused(identity(helper.make_node(op, ["x"], ["unused"])), f"operation '{op}'")


def test_operations_of_other_domains() -> None:
    node = helper.make_node("FusedConv", ["x"], ["unused"], domain="com.microsoft")
    refused(identity(node, domains=["com.microsoft"]), "domain 'com.microsoft'")
    node = helper.make_node("Shell", ["x"], ["unused"], domain="evil")
    refused(identity(node, domains=["evil"]), "domain 'evil'")


def test_functions_are_looked_into_and_written_out() -> None:
    good = helper.make_function(
        "own", "twice", ["a"], ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)],
    )  # fmt: skip
    call = helper.make_node("twice", ["x"], ["y"], domain="own")
    cleaned = accepted(model([call], functions=[good], domains=["own"]))
    assert [n.op_type for n in cleaned.model.graph.node] == ["Add"]
    assert cleaned.notes == ("functions written out",)

    bad = helper.make_function(
        "own", "twice", ["a"], ["b"],
        [helper.make_node("Loop", ["a"], ["b"])], [helper.make_opsetid("", 17)],
    )  # fmt: skip
    refused(model([call], functions=[bad], domains=["own"]), "'Loop' in the function 'twice'")

    itself = helper.make_function(
        "own", "twice", ["a"], ["b"],
        [helper.make_node("twice", ["a"], ["b"], domain="own")],
        [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
    )  # fmt: skip
    refused(model([call], functions=[itself], domains=["own"]), "calls itself")


def test_functions_that_unfold_without_end() -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = []
    for level in range(12):
        inner, domain = (f"f{level - 1}", "own") if level else ("Neg", "")
        names = [f"v{k}" for k in range(10)]
        nodes = [
            helper.make_node(inner, [a], [b], domain=domain)
            for a, b in zip(["a", *names], [*names, "b"], strict=True)
        ]
        functions.append(helper.make_function("own", f"f{level}", ["a"], ["b"], nodes, opsets))
    call = helper.make_node("f11", ["x"], ["y"], domain="own")
    refused(model([call], functions=functions, domains=["own"]), "nodes; expected at most")


def test_training_and_sparse_weights() -> None:
    made = conv_model()
    made.training_info.add()
    refused(made, "training")
    made = conv_model()
    made.graph.sparse_initializer.add()
    refused(made, "sparse")


def test_weights_that_are_not_as_many_as_they_say() -> None:
    made = conv_model()
    made.graph.initializer[0].raw_data = made.graph.initializer[0].raw_data[:-8]
    refused(made, "hold 640 bytes or numbers; expected 648")
    made = conv_model()
    del made.graph.initializer[0].dims[:]
    made.graph.initializer[0].dims.extend([1 << 20, 1 << 20, 1 << 20])
    refused(made, "weights in 'w1'")
    made = conv_model()
    made.graph.initializer[0].dims[0] = -6
    refused(made, r"of size \[-6")


@pytest.mark.parametrize(
    ("op", "inputs", "message"),
    [
        ("ConstantOfShape", [[1 << 20, 1 << 20]], "asks for 1.09951e\\+12 elements"),
        ("Expand", ["x", [1, 3, 1 << 16, 1 << 16]], "elements"),
        ("Tile", ["x", [1, 1, 4096, 4096]], "elements"),
        ("Pad", ["x", [0, 0, 1 << 20, 0, 0, 0, 0, 0]], "px of margin"),
        ("Range", [0, 1 << 40, 1], "elements"),
    ],
)
def test_constants_that_ask_for_too_much(op: str, inputs: list[Any], message: str) -> None:
    constants, names = [], []
    for k, value in enumerate(inputs):
        if isinstance(value, str):
            names.append(value)
        else:
            names.append(f"k{k}")
            constants.append(constant(f"k{k}", value, np.int64))
    made = identity(helper.make_node(op, names, ["unused"]))
    made.graph.initializer.extend(constants)
    refused(made, message)


def test_resizing_that_asks_for_too_much() -> None:
    for scales, sizes, message in (
        ([1.0, 1.0, 1e5, 1e5], None, "times the pixels"),
        (None, [1, 3, 1 << 16, 1 << 16], "elements"),
    ):
        names = ["x", "", "s" if scales else "", *(["z"] if sizes else [])]
        made = identity(helper.make_node("Resize", names, ["unused"]))
        if scales:
            made.graph.initializer.append(constant("s", scales))
        if sizes:
            made.graph.initializer.append(constant("z", sizes, np.int64))
        refused(made, message)


def test_doubling_that_ends_in_too_much() -> None:
    nodes, last = [], "x"
    for k in range(30):
        nodes.append(helper.make_node("Concat", [last, last], [f"c{k}"], axis=1))
        last = f"c{k}"
    nodes.append(helper.make_node("Slice", [last, "a", "b", "d"], ["y"]))
    ends = [constant(n, [v], np.int64) for n, v in (("a", 0), ("b", 3), ("d", 1))]
    refused(model(nodes, ends), "for a picture of 64 x 64 px")


def test_too_many_nodes_and_too_large_files() -> None:
    made = identity(*[helper.make_node("Neg", ["x"], [f"n{k}"]) for k in range(60)])
    refused(made, "at most 50", Limits(nodes=50))
    refused(made, "at most 100 bytes", Limits(file_bytes=100))
    refused(conv_model(), "weights", Limits(weights=100))


@pytest.mark.parametrize("data", [b"", b"\x00\xff" * 40, b"not a model at all", b"\x08\x08"])
def test_what_is_no_onnx(data: bytes) -> None:
    with pytest.raises(ModelLoadError, match=r"not an ONNX file|without a graph"):
        onnx_guard.parse(data, LIMITS)


def test_every_truncation_is_refused() -> None:
    data = conv_model().SerializeToString()
    for length in range(0, len(data), 7):
        with pytest.raises(ModelLoadError):
            parsed = onnx_guard.parse(data[:length], LIMITS)
            onnx_guard.vet(clean(parsed, LIMITS).model, LIMITS)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_sixteen_bits_become_thirty_two(kind: int) -> None:
    ort = pytest.importorskip("onnxruntime")
    made = conv_model(kind=kind)
    exact = []
    for tensor in made.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if kind == TensorProto.FLOAT16:
            short = values.astype(np.float16)
            exact.append(short.astype(np.float32))
            bits = short.view(np.uint16)
        else:
            bits = (values.view(np.uint32) >> 16).astype(np.uint16)
            exact.append((bits.astype(np.uint32) << 16).view(np.float32))
        tensor.data_type, tensor.raw_data = kind, bits.tobytes()
    made.graph.node.append(helper.make_node("Cast", ["y"], ["z"], to=kind))
    made.graph.output[0].name = "z"
    cleaned = accepted(made)
    for tensor, want in zip(cleaned.model.graph.initializer, exact, strict=True):
        assert np.array_equal(onnx.numpy_helper.to_array(tensor), want)
    session = ort.InferenceSession(cleaned.model.SerializeToString())
    x = np.random.default_rng(0).random((1, 3, 9, 11), dtype=np.float32)
    assert session.run(None, {"x": x})[0].dtype == np.float32
    assert cleaned.notes[0].endswith("of 16 bits made float32")


def test_ends_get_their_names_whatever_is_inside() -> None:
    nodes = [
        helper.make_node("Neg", ["y"], ["mid"]),
        helper.make_node("Abs", ["mid"], ["x"]),
    ]
    made = accepted(model(nodes, names=("y", "x"))).model
    assert (made.graph.input[0].name, made.graph.output[0].name) == ("x", "y")
    assert [list(n.input) + list(n.output) for n in made.graph.node] == [
        ["x", "mid"],
        ["mid", "y"],
    ]
    nodes = [
        helper.make_node("Neg", ["in"], ["x"]),
        helper.make_node("Abs", ["x"], ["y"]),
        helper.make_node("Sqrt", ["y"], ["out"]),
    ]
    made = accepted(model(nodes, names=("in", "out"))).model
    names = [list(n.input) + list(n.output) for n in made.graph.node]
    assert names == [["x", "x_"], ["x_", "y_"], ["y_", "y"]]


def test_only_pictures_in_and_out() -> None:
    refused(conv_model(size=(64, 48)), "64 x 48 px")
    refused(conv_model(batch=4), "batch of 4")
    refused(conv_model(kind=TensorProto.UINT8), "UINT8")
    made = conv_model()
    made.graph.input.append(helper.make_tensor_value_info("sigma", TensorProto.FLOAT, [1]))
    refused(made, "2 inputs")
    five = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 5, 3, "h", "w"])
    made = identity()
    made.graph.input[0].CopyFrom(five)
    refused(made, "several frames")
    assert accepted(conv_model(size=(64, 64))).window == 64
    dims = accepted(conv_model()).model.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value or d.dim_param for d in dims] == [1, 3, "h", "w"]


def test_what_describes_is_dropped() -> None:
    made = conv_model()
    made.doc_string = made.graph.doc_string = made.graph.node[0].doc_string = "secret"
    entry = made.metadata_props.add()
    entry.key, entry.value = "who", "secret"
    assert b"secret" not in accepted(made).model.SerializeToString()


@pytest.mark.parametrize(("scale", "want"), [(1, 3), (2, 4)])
def test_the_static_reach_is_that_of_the_convolutions(scale: int, want: int) -> None:
    # 3 x 3 and 5 x 5: 1 + 2 px; a shuffle by 2 places its px up to half a px aside, rounded up.
    assert static_reach(accepted(conv_model(scale=scale)).model) == want


def test_the_static_reach_is_honest_and_silent_about_the_rest() -> None:
    pool = helper.make_node("GlobalAveragePool", ["x"], ["m"])
    assert static_reach(accepted(identity(pool)).model) is None
    weight = constant("w", np.ones((3, 3, 3, 3)))
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[2] * 4, dilations=[2, 2]),
        helper.make_node("MaxPool", ["a"], ["b"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["b", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Resize", ["c", "", "f"], ["y"], mode="nearest"),
    ]
    made = accepted(model(nodes, [weight, constant("f", [1, 1, 2, 2])])).model
    # 2 by dilation, 1 by pooling, 2 by a convolution at half size, 4 for resizing at half size.
    assert static_reach(made) == 9
