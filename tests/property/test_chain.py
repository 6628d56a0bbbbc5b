"""The law: any frame alone is the same frame in a range, whatever the split."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clips import MemoryClip, make_frame, moving_clip, texture
from support.operators import BoxBlur, CopyOut, Invert, Lift, NoCost, Paired, TemporalMean, TwoStage
from wetgate.color.shaper import signed_log, signed_log_inverse
from wetgate.operators.base import Analysis, FrameSurvey, Operator, Pixels, SourceFacts
from wetgate.operators.verbs import assert_footprint_honest, run_operator
from wetgate.render.analysis import ShotAnalyses
from wetgate.render.bound import BoundStep, chain_reach
from wetgate.render.chain import Chain
from wetgate.render.encoding import Encoding
from wetgate.render.shelf import Shelf
from wetgate.render.store import PlaneStore
from wetgate.render.windows import Shots
from wetgate.render.workers import Workers

LOG = Encoding(signed_log=True)


def step(operator: Operator, *, strength: float = 1.0) -> BoundStep:
    log = operator.spec.working_space == "log"
    return BoundStep(
        operator=operator,
        encoding=LOG if log else Encoding(),
        strength=strength,
        is_log_working=log,
    )


def render(
    clip: MemoryClip,
    steps: Sequence[BoundStep],
    numbers: Sequence[int],
    *,
    workers: int = 1,
    tile: tuple[int, int] = (1000, 1000),
    memory: int | None = None,
    cuts: tuple[int, ...] = (),
    scratch: Path | None = None,
) -> dict[int, Pixels]:
    """Render through the engine; None from the chain means the source's own colors."""
    shots = Shots(cuts)
    store = PlaneStore(memory_limit=memory, scratch=scratch)
    direct = chain_reach([s.operator for s in steps]).source == 0
    with Workers(workers) as pool:
        analyses: list[ShotAnalyses] = []
        out = {}
        shelf = Shelf(clip, store, direct=direct)
        chain = Chain(
            shelf=shelf, store=store, steps=steps, shots=shots, analyses=analyses,
            workers=pool, tile=tile,
        )  # fmt: skip
        for i, bound in enumerate(steps):
            facts = chain.facts(i, shelf.get(clip.frames[0]))
            analyses.append(
                ShotAnalyses(
                    operator=bound.operator.spec.name,
                    version=1,
                    shots=tuple(
                        bound.operator.analyse(
                            lambda n, i=i: chain.read_working(i, n),  # type: ignore[misc]
                            shot,
                            facts,
                        )
                        for shot in shots.split([n for n in clip.frames if n not in clip.broken])
                    ),
                )
            )
        for at, number in enumerate(numbers):
            chain.retain(numbers[at : at + 1])
            done = chain.finish(number)
            source = shelf.get(number)
            color = done.color
            out[number] = np.array(source.rebuild(color).pixels, copy=True)
        chain.retain([])
        assert store._used == 0, "every plane is given back"
    return out


def same(a: dict[int, Pixels], b: dict[int, Pixels]) -> bool:
    return a.keys() == b.keys() and all(
        np.array_equal(a[n].view(np.uint32), b[n].view(np.uint32)) for n in a
    )


CHAINS = {
    "blur": lambda: [step(BoxBlur())],
    "mean": lambda: [step(TemporalMean(radius=2))],
    "paired": lambda: [step(Paired())],
    "two": lambda: [step(TwoStage())],
    "exact": lambda: [step(TwoStage(first=TemporalMean(radius=1, exact=True)))],
    "many": lambda: [step(Paired(), strength=0.5), step(TwoStage()), step(BoxBlur(halo=1))],
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("sample_type", ["uint10", "half", "float"])
def test_split_order_tiles_threads_and_memory_never_show(
    name: str, sample_type: str, tmp_path: Path
) -> None:
    numbers = list(range(1001, 1010))
    clip = moving_clip(numbers, sample_type=sample_type, broken=frozenset({1007}))  # type: ignore[arg-type]
    wanted = [n for n in numbers if n not in clip.broken]
    steps, cuts = CHAINS[name](), (1005,)
    whole = render(clip, steps, wanted, cuts=cuts)
    shuffled = random.Random(7).sample(wanted, len(wanted))
    others = {
        "reverse": render(clip, steps, wanted[::-1], cuts=cuts),
        "shuffled": render(clip, steps, shuffled, cuts=cuts, workers=2, tile=(16, 16)),
        "tiles": render(clip, steps, wanted, cuts=cuts, tile=(32, 16)),
        "spilled": render(clip, steps, wanted, cuts=cuts, memory=0, scratch=tmp_path),
        "tight": render(clip, steps, wanted, cuts=cuts, memory=40_000, workers=2, tile=(53, 8)),
    }
    alone: dict[int, Pixels] = {}
    for number in wanted[::3]:
        alone |= render(clip, steps, [number], cuts=cuts)
    for how, got in others.items():
        assert same(got, whole), how
    assert same(alone, {n: whole[n] for n in alone})


@pytest.mark.parametrize(
    "operator",
    [
        BoxBlur(),
        TemporalMean(radius=2),
        Paired(),
        TwoStage("source"),
        TwoStage("source", first=TemporalMean(radius=1, exact=True)),
    ],
)
def test_the_engine_agrees_with_the_plain_reading_of_the_contract(operator: Operator) -> None:
    numbers = list(range(1, 8))
    clip = moving_clip(numbers, sample_type="float", width=29, height=31)
    frames = {n: f.pixels for n, f in clip.held.items()}
    facts = SourceFacts(sample_type="float", width=29, height=31, channels=3, is_log_working=False)
    got = render(clip, [step(operator)], numbers, tile=(16, 16), workers=2)
    for number in (1, 4, 7):
        want = run_operator(operator, frames, number, facts=facts)
        assert np.array_equal(got[number], want)
    assert_footprint_honest(operator, frames, 4, facts=facts)


def test_a_dishonest_footprint_is_found() -> None:
    class Liar(BoxBlur):
        def __call__(self, window, analysis, facts):  # type: ignore[no-untyped-def]
            return super().__call__(window, analysis, facts) + window.pixels[0].max()

    frames = {n: texture(n, 64, 64) for n in range(3)}
    facts = SourceFacts(sample_type="float", width=64, height=64, channels=3, is_log_working=False)
    with pytest.raises(AssertionError, match="change the result"):
        assert_footprint_honest(Liar(), frames, 1, facts=facts)


def test_no_window_crosses_a_cut_and_no_bad_neighbor_counts() -> None:
    numbers = list(range(10))
    held = {
        n: make_frame(n, np.full((8, 8, 3), 2.0**n, np.float32)) for n in numbers if n not in (3, 8)
    }
    clip = MemoryClip(held, broken=frozenset({3}))
    got = render(clip, [step(TemporalMean(radius=1))], sorted(held), cuts=(5,))
    want = {0: 1.5, 1: 7 / 3, 2: 3.0, 4: 16.0, 5: 48.0, 6: (32 + 64 + 128) / 3, 7: 96.0, 9: 512.0}
    for number, mean in want.items():
        assert got[number][0, 0, 0] == np.float32(mean), number


@given(radii=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3), min_size=1, max_size=3))
def test_reach_is_what_walking_the_chain_finds(radii: list[list[int]]) -> None:
    class Op:
        def __init__(self, stage_radii: list[int]) -> None:
            self.stages = tuple(TemporalMean(radius=r) for r in stage_radii)

    reach = chain_reach([Op(r) for r in radii])  # type: ignore[misc]
    seen: dict[tuple[str, int, int], int] = {}

    def walk(step_at: int, stage_at: int, frame: int) -> None:
        """Visit everything output `stage_at` of `step_at` at `frame` is made from."""
        key = ("out", step_at, stage_at)
        seen[key] = max(seen.get(key, 0), abs(frame))
        for d in {-radii[step_at][stage_at], 0, radii[step_at][stage_at]}:
            if stage_at:
                walk(step_at, stage_at - 1, frame + d)
            key = ("in", step_at, 0)
            seen[key] = max(seen.get(key, 0), abs(frame + d))
            if step_at:
                walk(step_at - 1, len(radii[step_at - 1]) - 1, frame + d)

    walk(len(radii) - 1, len(radii[-1]) - 1, 0)
    for i, stages in enumerate(radii):
        assert reach.step_input[i] == seen["in", i, 0]
        for s in range(len(stages)):
            assert reach.stage_output[i, s] == seen["out", i, s]
    assert reach.source == sum(map(sum, radii)) == reach.step_input[0]


def test_what_an_operator_leaves_alone_keeps_every_bit() -> None:
    """All 65,536 half patterns and odd floats, through a logarithm and back."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    pixels = np.resize(halves, (256, 256, 3))
    for sample_type in ("half", "float"):
        frame = make_frame(1, pixels, sample_type=sample_type)  # type: ignore[arg-type]
        for operator in (CopyOut("log"), NoCost("log"), CopyOut("source"), Lift("log", above=1e9)):
            got = render(MemoryClip({1: frame}), [step(operator)], [1], tile=(64, 48))
            assert np.array_equal(got[1].view(np.uint32), pixels.view(np.uint32))


def test_non_finite_pixels_are_hidden_from_operators_and_come_back() -> None:
    pixels = texture(5, 32, 32)
    pixels[4, 5, 1] = np.nan
    pixels[10:20, 10:20] = np.inf
    pixels.view(np.uint32)[0, 0, 0] = 0x7FC01234
    clip = MemoryClip({n: make_frame(n, pixels.copy()) for n in (1, 2, 3)})
    bad = ~np.isfinite(pixels).all(axis=-1)
    for steps in ([step(Paired())], [step(Invert()), step(BoxBlur()), step(TemporalMean())]):
        got = render(clip, steps, [2], tile=(16, 16))[2]
        assert np.array_equal(got[bad].view(np.uint32), pixels[bad].view(np.uint32))
        assert np.isfinite(got[~bad]).all()
        assert not np.array_equal(got[~bad], pixels[~bad])


def test_the_delta_is_the_closed_form() -> None:
    pixels = (texture(3, 20, 24) * 4 - 1.6).astype(np.float32)
    operator = Lift("log", amount=0.25, above=0.4)
    work = signed_log(pixels)
    lifted = np.where(work > np.float32(0.4), work + np.float32(0.25), work)
    change = signed_log_inverse(lifted) - signed_log_inverse(work)
    got = render(MemoryClip({1: make_frame(1, pixels)}), [step(operator, strength=0.5)], [1])[1]
    np.testing.assert_allclose(got, pixels + 0.5 * change, rtol=1e-5, atol=1e-6)
    untouched = work <= np.float32(0.4)
    assert np.array_equal(got[untouched], pixels[untouched])
    assert untouched.any() and (~untouched).any()


def test_half_output_saturates_instead_of_turning_infinite() -> None:
    pixels = np.full((4, 4, 3), 60000.0, np.float32)
    frame = make_frame(1, pixels, sample_type="half")
    got = render(MemoryClip({1: frame}), [step(Lift("source", amount=9e4, above=1.0))], [1])[1]
    assert (got == 65504).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(8, 70), st.integers(8, 70))
def test_any_tile_size_gives_the_same_bits(w: int, h: int, tw: int, th: int) -> None:
    clip = moving_clip([1, 2, 3], width=w, height=h, sample_type="uint8")
    steps = [step(TwoStage())]
    assert same(render(clip, steps, [2]), render(clip, steps, [2], tile=(tw, th)))


def test_a_lone_frame_of_two_steps_surveys_each_frame_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step before makes the frames of the window in order, not the center first."""
    asked: list[Pixels] = []
    survey = Paired.survey_frame

    def noted(self: Paired, whole: Pixels, analysis: Analysis, facts: SourceFacts) -> FrameSurvey:
        asked.append(whole)
        return survey(self, whole, analysis, facts)

    monkeypatch.setattr(Paired, "survey_frame", noted)
    clip = moving_clip(list(range(1001, 1014)))
    render(clip, [step(Paired(radius=2)), step(TemporalMean(radius=2))], [1007])
    assert len(asked) == 1011 - 1003 + 1
