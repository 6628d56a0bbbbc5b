"""What is measured of a network by running it, against what is known of how it was made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from wetgate.importers import Limits
from wetgate.model.errors import ModelLoadError

onnx = pytest.importorskip("onnx", reason="networks for the tests are written with onnx")
pytest.importorskip("onnxruntime", reason="a probe runs the network")
from onnx import helper  # noqa: E402
from support.graphs import constant, conv_model, identity, model  # noqa: E402
from support.nets import make_graph  # noqa: E402
from wetgate.importers import probe as probing  # noqa: E402
from wetgate.importers.onnx_clean import clean  # noqa: E402


def probed(made: Any, **more: Any) -> probing.Facts:
    cleaned = clean(made, Limits())
    graph = cleaned.model.SerializeToString()
    return probing.probe(cleaned.model, graph, window=cleaned.window, **more)


def test_convolutions_are_measured_exactly() -> None:
    facts = probed(conv_model(scale=2))
    assert (facts.channels, facts.made, facts.scale) == (3, 3, 2)
    assert (facts.size_multiple, facts.window) == (1, 0)
    # 3 x 3 and 5 x 5, and the shuffle's half px rounded up.
    assert (facts.halo, facts.exact_halo) == (4, True)
    assert facts.seam == 0.0
    assert facts.parameters == 6 * 3 * 9 + 6 + 12 * 6 * 25


@pytest.mark.parametrize(("unshuffle", "kind"), [(2, "plain"), (4, "plain"), (1, "unet")])
def test_the_grid_of_a_network_is_found(unshuffle: int, kind: str) -> None:
    data, told = make_graph(3, 3, kind=kind, unshuffle=unshuffle, depth=2)
    facts = probed(onnx.load_model_from_string(data))
    assert facts.size_multiple == told["size_multiple"]
    assert facts.exact_halo
    # Ours counts a little more than is needed; never less than what is exactly right.
    assert told["halo"] <= facts.halo <= told["halo"] + 3 * told["size_multiple"]


def test_a_grid_that_pads_for_itself_is_found() -> None:
    # Takes any size, and yet averages 4 x 4 squares that begin in its own corner.
    nodes = [
        helper.make_node(
            "AveragePool", ["x"], ["m"], kernel_shape=[4, 4], strides=[4, 4], ceil_mode=1
        ),
        helper.make_node("Resize", ["m", "", "f"], ["u"], mode="nearest"),
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Slice", ["s", "two", "four"], ["e"]),
        helper.make_node("Slice", ["u", "zeros", "e", "axes"], ["c"]),
        helper.make_node("Sub", ["x", "c"], ["y"]),
    ]
    constants = [
        constant("f", [1, 1, 4, 4]),
        constant("two", [2], np.int64),
        constant("four", [4], np.int64),
        constant("zeros", [0, 0], np.int64),
        constant("axes", [2, 3], np.int64),
    ]
    facts = probed(model(nodes, constants))
    assert facts.size_multiple == 4
    assert not facts.exact_halo
    assert facts.halo >= 3


def test_a_network_that_looks_at_everything_gets_a_window() -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["m"]),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    ]
    facts = probed(model(nodes))
    assert (facts.window, facts.halo, facts.exact_halo) == (probing.WINDOW, probing.WINDOW, False)
    assert facts.size_multiple == 1


def test_a_network_of_one_size_keeps_it() -> None:
    facts = probed(conv_model(size=(48, 48)))
    assert (facts.window, facts.halo, facts.scale) == (48, 48, 1)


def test_what_it_answers_to_gray_is_told() -> None:
    nodes = [helper.make_node("Mul", ["x", "k"], ["y"])]
    facts = probed(model(nodes, [constant("k", 255.0)]))
    assert facts.gray == pytest.approx(127.5)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: conv_model(channels=15), "reads 15 planes: several frames"),
        (lambda: conv_model(channels=4), "reads 4 planes"),
        (
            lambda: model([helper.make_node("ReduceMean", ["x"], ["y"], axes=[1])]),
            "makes 1 planes of 3",
        ),
        (
            lambda: model(
                [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])]
            ),
            "makes 32 x 32 px of 64 x 64",
        ),
        (lambda: model([helper.make_node("GlobalAveragePool", ["x"], ["y"])]), "makes 1 x 1 px"),
        (
            lambda: model([helper.make_node("Flatten", ["x"], ["y"])]),
            "output is no picture",
        ),
        (
            lambda: model(
                [helper.make_node("Sub", ["x", "k"], ["t"]), helper.make_node("Log", ["t"], ["y"])],
                [constant("k", 2.0)],
            ),
            "NaN or Inf",
        ),
        (
            lambda: model(
                [helper.make_node("Conv", ["x", "w"], ["y"])],
                [constant("w", np.ones((3, 5, 1, 1)))],
            ),
            "does not run",
        ),
    ],
)
def test_what_is_no_network_from_pictures_to_pictures(made: Any, message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        probed(made())


def test_the_identity_needs_nothing() -> None:
    facts = probed(identity())
    assert (facts.scale, facts.size_multiple, facts.halo, facts.parameters) == (1, 1, 0, 0)
