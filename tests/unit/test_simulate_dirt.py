"""Dirt, overlays and the clean action that looks like dirt."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.model.errors import FrameReadError, UsageError
from wetgate.simulate import CameraSpec, DamagedShot, DamageSpec, DirtSpec, preset
from wetgate.simulate.action import ActionSpec, Kind, action_truth
from wetgate.simulate.camera import view_of
from wetgate.simulate.dirt import dirt_truth
from wetgate.simulate.dirt_shapes import blotch, catmull_rom, fill, overlay, perlin
from wetgate.simulate.presets import with_overlays
from wetgate.simulate.random import Domain, stream
from wetgate.simulate.scenes import parallax_layers

Pixels = NDArray[np.float32]
SIZE = (160, 120)
MUCH = DirtSpec(
    specks=6, hairs=1, fibers=3, blotches=3, clusters=1, opacity=(0.3, 0.9), blotch_radius=8
)


def picture(height: int = SIZE[1], width: int = SIZE[0]) -> Pixels:
    rng = np.random.default_rng(4)
    return (0.2 + 0.5 * rng.random((height, width, 3))).astype(np.float32)


class TestShapes:
    def test_a_polygon_covers_its_area(self) -> None:
        triangle = np.array([(3.2, 4.1), (31.7, 9.4), (12.5, 28.8)])
        left, top, cover = fill(triangle, None)
        x, y = triangle.T
        area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
        # Hard edges on a grid of an eighth of a pixel, drawn half a cell fat all round.
        assert cover.sum() == pytest.approx(area, rel=0.03)
        assert (left, top) == (1, 2)
        assert 0 <= cover.min() <= cover.max() == 1

    def test_a_line_covers_length_times_width(self) -> None:
        line = np.array([(5.0, 5.0), (45.0, 20.0)])
        cover = fill(line, 1.5)[2]
        assert cover.sum() == pytest.approx(1.5 * np.hypot(40, 15), rel=0.12)

    def test_a_spline_goes_through_its_points_and_is_smooth(self) -> None:
        points = np.array([(0.0, 0.0), (4.0, 1.0), (6.0, 5.0), (3.0, 9.0)])
        curve = catmull_rom(points, 20)
        assert curve[::20] == pytest.approx(points)
        turns = np.diff(curve, n=2, axis=0)
        assert np.abs(turns).max() < 0.1

    def test_noise_is_zero_on_the_lattice_and_smooth(self) -> None:
        y, x = np.mgrid[0:5:0.05, 0:5:0.05]
        noise = perlin(stream(1, Domain.DIRT), x, y, 6)
        assert np.abs(noise[::20, ::20]).max() < 1e-9
        assert 0.15 < noise.std() < 0.4
        assert np.abs(np.diff(noise, axis=0)).max() < 0.12

    def test_a_blotch_stays_near_its_radius_and_is_ragged(self) -> None:
        areas, fills = [], []
        for seed in range(30):
            cover = blotch(stream(seed, Domain.DIRT), 12.0, np.array([50.0, 40.0]))[2]
            assert cover[0].max() == cover[-1].max() == 0
            areas.append(cover.sum() / (np.pi * 144))
            rows, columns = np.nonzero(cover > 0.5)
            if rows.size:
                fills.append(rows.size / (np.ptp(rows) + 1) / (np.ptp(columns) + 1))
        assert 0.3 < np.mean(areas) < 1.3
        # A disk fills 0.785 of its box.
        assert np.mean(fills) < 0.74


class TestDirt:
    def test_it_is_undone_exactly_where_it_is_translucent(self) -> None:
        given = picture()
        for number in range(4):
            truth = dirt_truth(MUCH, 3, number, SIZE)
            dirty = truth.apply(given)
            assert np.array_equal(dirty[truth.keep == 1], given[truth.keep == 1])
            well = truth.keep > 0.02
            assert truth.undo(dirty)[well] == pytest.approx(given[well], abs=2e-5)
            assert (truth.keep < 0.5).any()

    def test_the_list_tells_all_that_lies_there(self) -> None:
        kinds = set()
        for number in range(12):
            truth = dirt_truth(MUCH, 5, number, SIZE)
            boxes = np.zeros((SIZE[1], SIZE[0]), bool)
            for blob in truth.blobs:
                x0, y0, x1, y1 = blob.box
                boxes[y0:y1, x0:x1] = True
                kinds.add(blob.kind)
                assert blob.value == (MUCH.bright if blob.is_bright else MUCH.dark)
                assert 0.3 <= blob.opacity <= 0.9
                assert 0 < blob.area <= (x1 - x0) * (y1 - y0)
            assert not (truth.keep < 1)[~boxes].any()
            assert [b.identity for b in truth.blobs] == list(range(1, len(truth.blobs) + 1))
        assert kinds == {"speck", "hair", "fiber", "blotch"}

    def test_one_speck_is_its_row_in_the_list(self) -> None:
        spec = DirtSpec(specks=1.0, hairs=0, radius=4.0)
        for number in range(30):
            truth = dirt_truth(spec, 2, number, SIZE)
            if len(truth.blobs) == 1:
                break
        (blob,) = truth.blobs
        x0, y0, x1, y1 = blob.box
        hit = truth.alpha > 0
        assert hit[y0:y1, x0:x1].sum() == hit.sum()
        assert hit[y0].any()
        assert hit[y1 - 1].any()
        assert hit[:, x0].any()
        assert hit[:, x1 - 1].any()
        assert truth.alpha.sum() == pytest.approx(blob.area * blob.opacity, rel=1e-4)
        assert truth.paint[hit] == pytest.approx(truth.alpha[hit] * blob.value, abs=1e-6)

    def test_clusters_crowd_and_specks_do_not(self) -> None:
        def index_of_dispersion(spec: DirtSpec) -> float:
            counts = []
            for number in range(60):
                for blob in dirt_truth(spec, 1, number, (240, 240)).blobs:
                    counts.append((number, blob.box[0] // 60, blob.box[1] // 60))
            cells = np.zeros((60, 4, 4))
            np.add.at(cells, tuple(np.array(counts).T), 1)
            return float(cells.var() / cells.mean())

        # 1 for a Poisson process; 1 + size * (share of a cluster in one cell) for the clustered.
        assert index_of_dispersion(DirtSpec(specks=7, hairs=0, radius=1)) == pytest.approx(
            1, abs=0.2
        )
        clustered = DirtSpec(
            specks=0, hairs=0, clusters=1, cluster_size=7, cluster_spread=10, radius=1
        )
        assert index_of_dispersion(clustered) > 3

    def test_polarity_is_that_of_the_generation(self) -> None:
        for share in (0.0, 1.0):
            spec = DirtSpec(specks=20, hairs=1, fibers=1, clusters=1, bright_share=share)
            blobs = dirt_truth(spec, 1, 1, SIZE).blobs
            assert {b.is_bright for b in blobs} == {bool(share)}


class TestOverlays:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        import cv2

        for name, count in (("hair", 9), ("stain", 1)):
            (tmp_path / name).mkdir()
            for k in range(count):
                alpha = np.zeros((40, 40, 4), np.uint8)
                alpha[10:30, 16:24, 3] = 200 if name == "hair" else 100
                cv2.imwrite(str(tmp_path / name / f"{name}-{k}.png"), alpha)
        return tmp_path

    def test_the_class_is_drawn_first(self, folder: Path) -> None:
        spec = DirtSpec(specks=0, hairs=0, overlays=folder, overlay_count=3)
        sources = [b.source for n in range(60) for b in dirt_truth(spec, 1, n, SIZE).blobs]
        share = sum(s.startswith("stain/") for s in sources) / len(sources)
        assert share == pytest.approx(0.5, abs=0.12)
        assert len({s for s in sources if s.startswith("hair/")}) == 9

    def test_alpha_is_the_damage_at_any_angle_and_scale(self, folder: Path) -> None:
        for seed in range(6):
            for extent in (20.0, 60.0):
                draw = stream(seed, Domain.DIRT)
                name, _, (left, top, cover) = overlay(draw, folder, np.array([80.3, 60.8]), extent)
                opaque = 200 / 255 if name == "hair" else 100 / 255
                area = 20 * 8 * (extent / 40) ** 2 * opaque
                assert cover.sum() == pytest.approx(area, rel=0.06)
                y, x = np.mgrid[0 : cover.shape[0], 0 : cover.shape[1]]
                mass = (cover * x).sum() / cover.sum(), (cover * y).sum() / cover.sum()
                assert left + mass[0] == pytest.approx(80.3, abs=0.6)
                assert top + mass[1] == pytest.approx(60.8, abs=0.6)

    def test_published_overlays_can_be_laid(self, shared_data: Path) -> None:
        spec = with_overlays(preset("dirt-light", 3), shared_data / "film-damage")
        assert spec.dirt is not None
        blobs = [b for n in range(8) for b in dirt_truth(spec.dirt, 3, n, (320, 240)).blobs]
        classes = {b.source.split("/")[0] for b in blobs if b.kind == "overlay"}
        assert len(classes) >= 4

    def test_a_folder_without_pictures_and_a_bad_picture_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no overlays"):
            with_overlays(preset("film-print", 1), tmp_path / "nothing")
        (tmp_path / "dots").mkdir()
        (tmp_path / "dots" / "x.png").write_bytes(b"no picture")
        spec = DirtSpec(overlays=tmp_path, overlay_count=9)
        with pytest.raises(FrameReadError, match=r"x\.png"):
            dirt_truth(spec, 1, 1, SIZE)


class TestAction:
    @pytest.mark.parametrize(
        "kind", ["sparkles", "rain", "confetti", "limbs", "birds", "speculars"]
    )
    def test_it_changes_exactly_what_it_covers(self, kind: Kind) -> None:
        scene = picture()
        truth = action_truth(ActionSpec(kind=kind), 7, 1010, SIZE)
        seen = truth.apply(scene)
        assert np.array_equal(seen[truth.cover == 0], scene[truth.cover == 0])
        assert 0.0005 < (truth.cover > 0.1).mean() < 0.5
        again = (1 - truth.cover)[..., None] * scene + truth.light
        assert seen == pytest.approx(again, abs=1e-6)

    @pytest.mark.parametrize("kind", ["rain", "confetti", "birds"])
    def test_things_move_as_they_state(self, kind: Kind) -> None:
        spec = ActionSpec(kind=kind)
        here, there = (action_truth(spec, 7, n, SIZE) for n in (1010, 1011))
        after = {t.identity: t for t in there.things}
        moved = []
        for thing in here.things:
            if thing.motion is None or thing.identity not in after:
                continue
            boxes = np.array([thing.box, after[thing.identity].box], float)
            centers = (boxes[:, :2] + boxes[:, 2:]) / 2
            moved.append(np.abs(centers[1] - centers[0] - thing.motion).max())
        # Boxes are those of whole pixels about what a turning or flapping thing covers.
        assert np.median(moved) < 2.5
        assert any(t.motion is not None and np.hypot(*t.motion) > 1.5 for t in here.things)

    def test_sparkles_are_new_on_every_frame(self) -> None:
        here, there = (action_truth(ActionSpec(), 7, n, SIZE).cover > 0.2 for n in (4, 5))
        assert here.any()
        assert (here & there).sum() < 0.1 * here.sum()

    def test_speculars_last_for_one_to_five_frames_and_swell(self) -> None:
        spec = ActionSpec(kind="speculars")
        truths = [action_truth(spec, 7, n, SIZE) for n in range(40)]
        seen = [{t.identity for t in truth.things} for truth in truths]
        runs: list[int] = []
        for identity in set().union(*seen):
            text = "".join("x" if identity in s else " " for s in seen[1:-1])
            runs += [len(run) for run in text.split()]
        assert len(runs) > 20
        assert min(runs) >= 1 and max(runs) <= 6 and np.median(runs) <= 3
        assert max(float(t.light.max()) for t in truths) > 4
        strengths = {round(float(t.cover.max()), 2) for t in truths if t.things}
        assert len(strengths) > 10

    def test_a_strobe_flashes_for_single_frames(self) -> None:
        spec = ActionSpec(kind="strobe")
        gains = np.array([action_truth(spec, 7, n, SIZE).gain for n in range(400)])
        flashes = gains > 1
        assert flashes.mean() == pytest.approx(0.15, abs=0.06)
        assert gains[flashes].min() >= 1.8
        assert (gains[~flashes] == 1).all()

    def test_limbs_are_fast_and_no_dirt_is_stated(self) -> None:
        shot = DamagedShot(lambda _: picture(), preset("action-limbs", 7))
        frame = shot[1003]
        assert frame.truth.action is not None
        speeds = [np.hypot(*t.motion) for t in frame.truth.action.things if t.motion]
        assert max(speeds) > 0.03 * SIZE[1]
        assert not frame.truth.matte.any()

    def test_it_moves_with_the_film_in_the_gate(self) -> None:
        spec = ActionSpec(kind="birds")
        straight = action_truth(spec, 7, 5, SIZE).cover
        moved = action_truth(spec, 7, 5, SIZE, lambda p: p + np.array([3.0, -2.0])).cover
        assert straight.any()
        assert moved[:-2, 3:] == pytest.approx(straight[2:, :-3], abs=1e-6)


class TestOccluders:
    def test_they_are_nearer_one_by_one_and_hide_the_rear(self) -> None:
        layers = parallax_layers(picture(200, 260), 9, 3)
        assert [layer.parallax for layer in layers] == sorted(layer.parallax for layer in layers)
        assert layers[0].parallax == 1 < layers[1].parallax
        for layer in layers[1:]:
            assert layer.alpha is not None
            assert 0.002 < layer.alpha.mean() < 0.5

    def test_they_stand_before_a_photograph_only(self) -> None:
        with pytest.raises(UsageError, match="photograph"):
            DamagedShot(lambda _: picture(), DamageSpec(occluders=1))

    def test_flow_steps_at_the_edge_of_an_occluder(self) -> None:
        camera = CameraSpec(scale=1.0, pan=(2.0, 0.0))
        spec = DamageSpec(seed=9, size=(140, 100), camera=camera, occluders=2, bits=None)
        shot = DamagedShot(picture(200, 260), spec)
        flow = shot.flow(1001, 1002)
        steps = {round(float(v), 4) for v in np.unique(flow[..., 0])}
        layers = parallax_layers(picture(200, 260), 9, 2)
        assert steps <= {round(-2.0 * layer.parallax, 4) for layer in layers}
        assert len(steps) > 1
        for layer in layers:
            view = view_of(camera, 9, 1002, size=(140, 100), layer=layer)
            assert view.scale == 1
