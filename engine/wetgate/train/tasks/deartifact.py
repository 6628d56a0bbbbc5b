"""The network of deartifact: correct what the classical step made of coded pictures and clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import SourceFacts, Stage, Window
from wetgate.operators.deartifact import net
from wetgate.operators.deartifact.classical import to_planes
from wetgate.operators.deartifact.coding import coding_of
from wetgate.operators.deartifact.grid import BLOCK
from wetgate.operators.deartifact.operator import DeartifactOperator, seen_by_net
from wetgate.simulate.codec import CodecSpec, compress
from wetgate.train.nets import Net, SmallUNet
from wetgate.train.pictures import Pictures
from wetgate.train.shards import Example, make_shards
from wetgate.train.task import Batch, Planes, Predict
from wetgate.train.tasks._coded_clips import RATES, film, picture_size, random_spec

_SIZE, _COUNT = 192, 7
_PICKS = 2
"""Frames of a clip that are learned from, of all but the first and the last."""
_PATCH = 64
_PER_SHARD = 40
_DENSE, _GENERATED = 0.5, 0.2
_REGION = 24
"""What the stages get beyond the frame: with the whole frame in one tile motion stays inside."""
_SOFT = 1e-3
"""Where the loss of the training turns from square to straight."""
_TURN = 6.0
"""Where it is to turn here, in RMS errors of what the classical step left of a picture. What
coding took is mostly nothing and seldom much, and it is the mean that is wanted: a loss that is
straight from one error on learns its median, which is next to nothing everywhere."""
_CHROMA = 0.2
"""What a color difference weighs beside luma: it is easier, and would be most of the loss."""
_LEAST_LEFT = 0.2 / 255
"""Pictures that are all but perfect must not outweigh the others."""
_HELD_SEED = 1_000_003
_HELD = 40
KINDS = ("still", "h264", "mpeg2", "jpeg")
"""What an example was: one picture as JPEG, or a clip by its codec."""
_TRANSPOSED = np.array([*range(17), 18, 17])
"""Planes after a transposition: the two places in a block change places."""
_REVERSED = np.array([0, 1, 2, 4, 3, *range(5, 19)])
"""Planes when time runs backwards."""

_Picture = Callable[[int], Planes]


class Task:
    """Crops of coded pictures and clips, in units of the estimated coding error.

    Args:
        width, deep: of the network. stills, clips: shards of `_PER_SHARD` each.
    """

    def __init__(
        self, *, width: int = 28, deep: int = 3, stills: int = 15, clips: int = 15
    ) -> None:
        self._width, self._deep = width, deep
        self._counts = {"still": stills, "clip": clips}
        self._shards: list[dict[str, NDArray[np.generic]]] = []
        self._held: list[dict[str, NDArray[np.generic]]] = []

    def make_net(self) -> Net:
        """Return a U-Net from the planes of the operator to three corrections."""
        return SmallUNet(len(net.INPUTS), 3, width=self._width, deep=self._deep)

    def prepare(self, folder: Path, pictures: Pictures, seed: int) -> None:
        """Film, code, and run the classical step."""
        for kind, count in self._counts.items():
            self._shards += make_shards(
                folder, f"deartifact-{kind}", seed=seed, count=count, per_shard=_PER_SHARD,
                make=lambda rng, kind=kind: example(  # type: ignore[misc]
                    rng, kind, lambda side: drawn_picture(pictures, rng, side, held=False)
                ),
            )  # fmt: skip
        # A clip of each codec in turn, so that the means below are over as many of each.
        for kind in KINDS[:3]:
            self._held += make_shards(
                folder, f"deartifact-held-{kind}", seed=_HELD_SEED, count=1, per_shard=_HELD,
                make=lambda rng, kind=kind: example(  # type: ignore[misc]
                    rng, kind, lambda side: drawn_picture(pictures, rng, side, held=True)
                ),
            )  # fmt: skip

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """Cut patches out of the shards, mirrored and transposed, time either way."""
        x = np.empty((count, len(net.INPUTS), _PATCH, _PATCH), np.float32)
        target = np.empty((count, 3, _PATCH, _PATCH), np.float32)
        unit = np.empty((count, 3, 1, 1), np.float32)
        for k in range(count):
            shard = self._shards[int(rng.integers(len(self._shards)))]
            clip, frame = (int(rng.integers(n)) for n in shard["x"].shape[:2])
            # Patches start where blocks start, as the network's strides do in the operator.
            top, left = (BLOCK * int(v) for v in rng.integers(0, (_SIZE - _PATCH) // BLOCK + 1, 2))
            cut = clip, frame, slice(None), slice(top, top + _PATCH), slice(left, left + _PATCH)
            seen = np.asarray(shard["x"][cut], np.float32)
            wanted = np.asarray(shard["target"][cut], np.float32)
            if rng.uniform() < 0.5:
                seen, wanted = seen[..., ::-1], wanted[..., ::-1]
            if rng.uniform() < 0.5:
                seen, wanted = seen[:, ::-1], wanted[:, ::-1]
            if rng.uniform() < 0.5:
                seen, wanted = seen[_TRANSPOSED].swapaxes(1, 2), wanted.swapaxes(1, 2)
            if rng.uniform() < 0.5:
                seen = seen[_REVERSED]
            x[k], target[k] = seen, wanted
            unit[k] = _SOFT / _TURN / float(shard["left"][clip, frame])
        unit[:, 1:] *= _CHROMA
        return Batch(
            x=x,
            base=np.zeros_like(target),
            target=unit * target,
            # The square part of the loss is then half the square in those RMS errors.
            weight=np.full((count, 1, 1, 1), _TURN**2 / _SOFT, np.float32),
            limit=net.LIMIT,
            unit=unit,
        )

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return the mean PSNR of luma on held-out clips by kind, and the classical twin's."""
        found: dict[str, list[float]] = {}
        for shard in self._held:
            for clip in range(len(shard["x"])):
                x = np.asarray(shard["x"][clip], np.float32)
                want = np.asarray(shard["target"][clip], np.float32)[:, 0]
                change = np.clip(predict(x)[:, 0], -net.LIMIT, net.LIMIT)
                error = float(shard["error"][clip])
                kind = KINDS[int(shard["kind"][clip])]
                for name, left in ((f"{kind} dB", want - change), (f"twin {kind} dB", want)):
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
                "Corrects the classical deartifact step where blocks end as abruptly as after JPEG "
                "(quality 8-75); after H.264 and most of MPEG-2, of which its training saw clips "
                "too, the operator does not ask it. It is told the estimated coding error, the "
                "quantiser's step, how abruptly blocks end and where. The correction is bounded "
                f"to {net.LIMIT:g} errors."
            ),
        }


def drawn_picture(pictures: Pictures, rng: np.random.Generator, side: int, *, held: bool) -> Planes:
    """Draw a picture: half of them so small that they are all detail."""
    if rng.uniform() < _DENSE:
        return pictures.dense_crop(rng, side, generated=_GENERATED, held=held)
    crops: Planes = (pictures.held_out if held else pictures.crops)(rng, 1, side)
    return np.asarray(crops[0], np.float32)


def example(rng: np.random.Generator, kind: str, picture: _Picture) -> Example:
    """Code a picture or a clip, drawn anew until the operator finds something to do.

    Args:
        kind: "still" is one JPEG, "clip" a clip of any codec, or a codec.
        picture: returns a picture of a side.
    """
    while True:
        if kind == "still":
            clean = picture(_SIZE)[None]
            low, high = RATES["jpeg"]
            quality = int(np.rint(np.exp(rng.uniform(np.log(low), np.log(high)))))
            spec, picks = CodecSpec(codec="jpeg", quality=quality), [0]
        else:
            clean = film(rng, picture(picture_size(_SIZE)), _SIZE, _COUNT)
            spec = random_spec(rng)
            while kind not in ("clip", spec.codec):
                spec = random_spec(rng)
            inner = rng.choice(np.arange(1, _COUNT - 1), _PICKS, replace=False)
            picks = sorted(int(n) for n in inner)
        made = example_of(clean, compress(clean, spec).frames, picks)
        if made is not None:
            name = kind if kind == "still" else spec.codec
            return {**made, "kind": np.array(KINDS.index(name), np.int8)}


def example_of(clean: Planes, coded: Planes, picks: list[int]) -> Example | None:
    """Return the network's planes of some frames and what is left to correct, in errors.

    Args:
        clean, coded: `(frame, height, width, 3)`, coded in blocks from the corner.
    """
    operator = DeartifactOperator(net="none", blocks="8")
    count, height, width, _ = coded.shape
    facts = SourceFacts(
        sample_type="float", width=width, height=height, channels=3, is_log_working=False
    )
    analysis = operator.analyse(lambda n: coded[n], range(count), facts)
    coding = coding_of(analysis, operator.strength)
    if coding is None or coding.offset is None:
        return None
    (stage,) = operator.stages
    inputs, targets, lefts = [], [], []
    for n in picks:
        window = _window(stage, coded, n, facts, analysis)
        change, planes = seen_by_net(window, coding)
        rows, columns = window.frame.within(window.region)
        inputs.append(planes[:, rows, columns].astype(np.float16))
        wanted = to_planes(clean[n]) - to_planes(coded[n])
        left = (wanted - change[:, rows, columns]) / np.float32(coding.error)
        targets.append(left.astype(np.float16))
        rms = float(np.sqrt(np.mean(np.square(left[0], dtype=np.float64))))
        lefts.append(max(rms, _LEAST_LEFT / coding.error))
    return {
        "x": np.stack(inputs),
        "target": np.stack(targets),
        "left": np.array(lefts, np.float32),
        "error": np.array(coding.error, np.float32),
    }


def _window(
    stage: Stage,
    coded: Planes,
    number: int,
    facts: SourceFacts,
    analysis: Mapping[str, object],
) -> Window:
    """Return the window of a whole frame of a clip."""
    frame = Box.of_size(facts.width, facts.height)
    region = frame.grown(_REGION)
    valid = tuple(0 <= n < len(coded) for n in (number - 1, number, number + 1))
    around = [number + d if ok else number for d, ok in zip((-1, 0, 1), valid, strict=True)]
    surveys = [stage.survey_frame(coded[n], analysis, facts) for n in around]
    pairs = tuple(
        stage.survey_pair(surveys[1], s) if n != number else None
        for n, s in zip(around, surveys, strict=True)
    )
    pad = ((_REGION, _REGION), (_REGION, _REGION), (0, 0))
    return Window(
        number=number,
        pixels=tuple(np.pad(coded[n], pad, mode="reflect") for n in around),
        previous=(),
        valid=valid,
        pairs=pairs,
        region=region,
        tile=frame,
        frame=frame,
    )
