"""Upscale beside plain resamplers: published sets, edges, color, speed, and the joint network."""

from __future__ import annotations

from pathlib import Path

from wetgate.bench.table import (
    BenchRow,
    BenchTable,
    digest_bytes,
    machine_facts,
    package_versions,
)
from wetgate.bench.upscale.bands import band_rows
from wetgate.bench.upscale.edges import edge_rows
from wetgate.bench.upscale.joint import joint_rows
from wetgate.bench.upscale.peers import peers
from wetgate.bench.upscale.sets import data_folder, pictures, set_rows
from wetgate.bench.upscale.speed import speed_rows


def run(*, quick: bool = False, data: Path | None = None) -> BenchTable:
    """Measure PSNR, SSIM, consistency, overshoot, sharpness, color bleed, speed and the joint net.

    Args:
        quick: Set5 alone by 2 with few peers, and few cases of the rest.
        data: folder of published pictures; None looks at `WETGATE_TEST_DATA`, then at
            `../shared/data`. Sets that are not there are skipped and counted.
    """
    folder = data_folder(data)
    rows: list[BenchRow] = []
    digests: dict[str, str] = {}
    for name in ("set5",) if quick else ("set5", "set14"):
        found = pictures(folder, name)
        if not found:
            rows.append(BenchRow(case=f"{name}: not there, skipped", wetgate=0.0, unit="pictures"))
            continue
        digests[name] = digest_bytes(*(p.tobytes() for p in found))
        chosen = [p for p in peers() if not quick or p.name in ("bicubic", "Lanczos3")]
        for scale in (2,) if quick else (2, 4):
            rows += set_rows(name, found, scale, chosen)
        if not quick:
            rows += band_rows(name, found)
    rows += edge_rows(quick=quick)
    rows += speed_rows(quick=quick)
    joint, digest = joint_rows(folder, quick=quick)
    rows += joint
    digests.update(digest)
    versions = ("wetgate", "numpy", "onnxruntime", "opencv-python-headless", "imageio-ffmpeg")
    return BenchTable(
        name="upscale",
        rows=tuple(rows),
        data=digests,
        versions=package_versions(versions),
        machine=machine_facts(),
    )
