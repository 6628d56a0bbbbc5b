"""Small PyTorch checkpoints with random weights, one of each of several families.

Run as a program with a folder, it writes them there: torch and spandrel stay out of the process
of the tests.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_FAMILIES: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "ESRGAN": (
        "ESRGAN.__arch.RRDB",
        "RRDBNet",
        {"in_nc": 3, "out_nc": 3, "num_filters": 8, "num_blocks": 1, "scale": 4},
    ),
    "Compact": (
        "Compact.__arch.SRVGG",
        "SRVGGNetCompact",
        {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_conv": 3, "upscale": 2},
    ),
    "SPAN": (
        "SPAN.__arch.span",
        "SPAN",
        {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8, "upscale": 2},
    ),
    "SwinIR": (
        "SwinIR.__arch.SwinIR",
        "SwinIR",
        {
            "img_size": 32,
            "window_size": 8,
            "embed_dim": 12,
            "depths": [2],
            "num_heads": [2],
            "mlp_ratio": 2,
            "upscale": 2,
            "upsampler": "pixelshuffledirect",
            "resi_connection": "1conv",
        },
    ),
    "NAFNet": (
        "NAFNet.__arch.NAFNet_arch",
        "NAFNet",
        {
            "img_channel": 3,
            "width": 8,
            "middle_blk_num": 1,
            "enc_blk_nums": [1, 1],
            "dec_blk_nums": [1, 1],
        },
    ),
    "SCUNet": ("SCUNet.__arch.SCUNet", "SCUNet", {"in_nc": 3, "config": [1] * 7, "dim": 64}),
    "DAT": (
        "DAT.__arch.DAT",
        "DAT",
        {
            "img_size": 64,
            "embed_dim": 32,
            "split_size": [8, 8],
            "depth": [2],
            "num_heads": [2],
            "expansion_factor": 2,
            "upscale": 2,
            "upsampler": "pixelshuffledirect",
        },
    ),
    "HAT": (
        "HAT.__arch.HAT",
        "HAT",
        {
            "img_size": 64,
            "window_size": 8,
            "compress_ratio": 3,
            "squeeze_factor": 6,
            "embed_dim": 12,
            "depths": [2],
            "num_heads": [2],
            "mlp_ratio": 2,
            "upscale": 2,
            "upsampler": "pixelshuffle",
            "num_feat": 64,
        },
    ),
}

FAMILIES = tuple(_FAMILIES)
SCALES = {"ESRGAN": 4, "NAFNet": 1, "SCUNet": 1}
"""Of those that do not enlarge by 2."""


def make(family: str) -> Any:
    """Return the network with random weights, none of them all zero."""
    import torch

    module, name, arguments = _FAMILIES[family]
    kind: Callable[..., Any] = getattr(
        importlib.import_module(f"spandrel.architectures.{module}"), name
    )
    torch.manual_seed(FAMILIES.index(family))
    net = kind(**arguments)
    with torch.no_grad():
        for weight in net.parameters():
            # NAFNet begins as the identity; a test of it would prove nothing.
            if weight.ndim and not weight.any():
                weight.normal_(0.0, 0.3)
    return net.eval()


def write(folder: Path, families: tuple[str, ...]) -> None:
    import torch

    for family in families:
        torch.save({"params": make(family).state_dict()}, folder / f"{family}.pth")


if __name__ == "__main__":
    from wetgate.importers.checkpoint import load_libraries

    load_libraries()
    write(Path(sys.argv[1]), tuple(sys.argv[2:]) or FAMILIES)
