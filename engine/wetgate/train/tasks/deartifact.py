"""The network of deartifact: correct what the classical step made of coded clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import SourceFacts, Stage, Window, pixels_of
from wetgate.operators.deartifact import net
from wetgate.operators.deartifact.classical import to_planes
from wetgate.operators.deartifact.operator import DeartifactOperator
from wetgate.train.nets import Net, SmallUNet
from wetgate.train.pictures import Pictures
from wetgate.train.shards import Example, make_shards
from wetgate.train.task import Batch, Planes, Predict
from wetgate.train.tasks._coded_clips import CodedClip, code, film, picture_size, random_spec

_SIZE, _COUNT = 208, 7
_MIDDLES = (2, 4)
_CROPS, _CROP = 3, 96
_PATCH = 64
_PER_SHARD = 20
_REGION = 24
"""What the stages get beyond the frame: with the whole frame in one tile motion stays inside."""
_LOSS_UNIT = np.float32(1e-3)
"""The loss turns from square to straight at a thousandth: here that is one coding error. What
coding took is mostly nothing and seldom much: its median, which a straight loss would learn, is
next to nothing everywhere, its mean is not."""
_HELD_SEED = 1_000_003
_HELD = 60


_TRANSPOSED = np.array([*range(9), 10, 9])
"""Planes after a transposition: borders of blocks change places."""
_REVERSED = np.array([0, 2, 1, *range(3, 11)])
"""Planes when time runs backwards."""


class Task:
    """Crops of coded clips, in units of the estimated coding error.

    Args:
        width, deep: of the network. shards: of `20 x 6` crops each.
    """

    def __init__(self, *, width: int = 28, deep: int = 4, shards: int = 30) -> None:
        self._width, self._deep, self._count = width, deep, shards
        self._shards: list[dict[str, NDArray[np.generic]]] = []
        self._held: list[dict[str, NDArray[np.generic]]] = []

    def make_net(self) -> Net:
        """Return a U-Net from the planes of the operator to three corrections."""
        return SmallUNet(len(net.INPUTS), 3, width=self._width, deep=self._deep)

    def prepare(self, folder: Path, pictures: Pictures, seed: int) -> None:
        """Film, code, and run the classical step."""
        side = picture_size(_SIZE)
        self._shards = make_shards(
            folder, "deartifact", seed=seed, count=self._count, per_shard=_PER_SHARD,
            make=lambda rng: example(rng, lambda: pictures.crops(rng, 1, side)[0]),
        )  # fmt: skip
        self._held = make_shards(
            folder, "deartifact-held", seed=_HELD_SEED, count=_HELD // _PER_SHARD,
            per_shard=_PER_SHARD,
            make=lambda rng: example(rng, lambda: pictures.held_out(rng, 1, side)[0]),
        )  # fmt: skip

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """Cut patches out of the shards, mirrored and transposed, time either way."""
        x = np.empty((count, len(net.INPUTS), _PATCH, _PATCH), np.float32)
        target = np.empty((count, 3, _PATCH, _PATCH), np.float32)
        for k in range(count):
            shard = self._shards[int(rng.integers(len(self._shards)))]
            clip, crop = (int(rng.integers(n)) for n in shard["x"].shape[:2])
            top, left = (int(v) for v in rng.integers(0, _CROP - _PATCH + 1, 2))
            cut = clip, crop, slice(None), slice(top, top + _PATCH), slice(left, left + _PATCH)
            seen = np.asarray(shard["x"][cut], np.float32)
            wanted = np.asarray(shard["target"][cut], np.float32)
            if rng.uniform() < 0.5:
                seen, wanted = seen[..., ::-1], wanted[..., ::-1]
            if rng.uniform() < 0.5:
                seen, wanted = seen[:, ::-1], wanted[:, ::-1]
            if rng.uniform() < 0.5:
                seen, wanted = seen.swapaxes(1, 2)[_TRANSPOSED], wanted.swapaxes(1, 2)
            if rng.uniform() < 0.5:
                seen = seen[_REVERSED]
            x[k], target[k] = seen, wanted
        return Batch(
            x=x,
            base=np.zeros_like(target),
            target=_LOSS_UNIT * target,
            # Where the error was estimated far too low, all is outside: that teaches little else.
            weight=1.0 / (_LOSS_UNIT * (1.0 + np.mean(target**2, axis=(1, 2, 3), keepdims=True))),
            limit=net.LIMIT,
            unit=np.full((count, 1, 1, 1), _LOSS_UNIT, np.float32),
        )

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return the mean PSNR of luma on held-out clips by codec, and the classical twin's."""
        found: dict[str, list[float]] = {}
        for shard in self._held:
            for clip in range(len(shard["x"])):
                x = np.asarray(shard["x"][clip], np.float32)
                want = np.asarray(shard["target"][clip], np.float32)[:, 0]
                change = np.clip(predict(x)[:, 0], -net.LIMIT, net.LIMIT)
                error = float(shard["error"][clip])
                codec = CODECS[int(shard["codec"][clip])]
                for name, left in ((f"{codec} dB", want - change), (f"twin {codec} dB", want)):
                    mean = float(np.mean(np.square(left, dtype=np.float64))) * error**2
                    found.setdefault(name, []).append(-10.0 * np.log10(mean + 1e-10))
        return {name: float(np.mean(values)) for name, values in found.items()}

    def card(self) -> Mapping[str, object]:
        """Return the card's facts."""
        return {
            "task": "deartifact",
            "inputs": net.INPUTS,
            "outputs": net.OUTPUTS,
            "color_encoding": "Y'CbCr of BT.601 from the source's own R'G'B' codes",
            "temporal_radius": 1,
            "generative": False,
            "description": (
                "Corrects the classical deartifact step on clips coded with H.264 (CRF 20-43), "
                "MPEG-2 (qscale 2-24) or JPEG (quality 8-75); told the estimated coding error and "
                "where blocks meet. The correction is bounded to four errors."
            ),
        }


CODECS = ("h264", "mpeg2", "jpeg")


def example(rng: np.random.Generator, picture: Callable[[], Planes]) -> Example:
    """Film and code one picture, drawn anew until the operator finds its grid."""
    while True:
        clip = code(rng, film(rng, picture(), _SIZE, _COUNT), random_spec(rng))
        made = example_of(rng, clip)
        if made is not None:
            return made


def example_of(rng: np.random.Generator, clip: CodedClip) -> Example | None:
    """Return crops of the network's planes and of what is left to correct, in errors."""
    operator = DeartifactOperator(net="none")
    count, height, width, _ = clip.coded.shape
    facts = SourceFacts(
        sample_type="float", width=width, height=height, channels=3, is_log_working=False
    )
    analysis = operator.analyse(lambda n: clip.coded[n], range(count), facts)
    error = float(analysis["error"])  # type: ignore[arg-type]
    if error <= 0.0 or tuple(analysis["offset"]) != clip.offset:  # type: ignore[arg-type]
        return None
    (stage,) = operator.stages
    wanted = sorted({n + d for n in _MIDDLES for d in (-1, 0, 1)})
    source = dict(enumerate(clip.coded))
    base = {
        n: pixels_of(stage(_window(stage, source, source, n, facts, analysis), analysis, facts))
        for n in wanted
    }
    inputs, targets = [], []
    for n in _MIDDLES:
        window = _window(stage, source, base, n, facts, analysis, previous=True)
        whole = window.frame.within(window.region)
        planes = net.net_planes(window, error, clip.offset)[:, whole[0], whole[1]]
        left = (to_planes(clip.clean[n]) - to_planes(base[n])) / np.float32(error)
        for _ in range(_CROPS):
            top = int(rng.integers(0, height - _CROP + 1))
            side = int(rng.integers(0, width - _CROP + 1))
            cut = slice(None), slice(top, top + _CROP), slice(side, side + _CROP)
            inputs.append(planes[cut].astype(np.float16))
            targets.append(left[cut].astype(np.float16))
    return {
        "x": np.stack(inputs),
        "target": np.stack(targets),
        "error": np.array(error, np.float32),
        "codec": np.array(CODECS.index(clip.codec), np.int8),
        "rate": np.array(clip.rate, np.float32),
    }


def _window(
    stage: Stage,
    source: Mapping[int, Planes],
    seen: Mapping[int, Planes],
    number: int,
    facts: SourceFacts,
    analysis: Mapping[str, object],
    *,
    previous: bool = False,
) -> Window:
    """Return the window of a whole frame; flow is surveyed on `seen`."""
    frame = Box.of_size(facts.width, facts.height)
    region = frame.grown(_REGION)
    around = [n if n in seen else number for n in (number - 1, number, number + 1)]
    surveys = [stage.survey_frame(seen[n], analysis, facts) for n in around]
    pairs = tuple(
        stage.survey_pair(surveys[1], s) if n != number else None
        for n, s in zip(around, surveys, strict=True)
    )

    def cut(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        pad = ((_REGION, _REGION), (_REGION, _REGION), (0, 0))
        return np.pad(pixels, pad, mode="reflect")

    return Window(
        number=number,
        pixels=tuple(cut(source[n]) for n in around),
        previous=tuple(cut(seen[n]) for n in around) if previous else (),
        valid=tuple(n != number or k == 1 for k, n in enumerate(around)),
        pairs=pairs,
        region=region,
        tile=frame,
        frame=frame,
    )
