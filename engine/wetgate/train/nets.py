"""The two network shapes that wetgate trains: plain 3x3 convolutions and ReLU, nothing else.

Both return a correction, never a picture: what is added to the classical result, in float32,
outside the network. The last convolution starts at zero, so that training starts from the
classical result.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def _conv(inside: int, outside: int) -> nn.Conv2d:
    layer = nn.Conv2d(inside, outside, 3, padding=1)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def _silent(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    return layer


class PlainNet(nn.Module):
    """A chain of convolutions at the resolution of the input, pixel shuffle at the end.

    Args:
        planes_in, planes_out: planes at the input, and at the output of `scale` times the size.
        width: channels inside. depth: convolutions with ReLU before the last one.
    """

    def __init__(
        self, planes_in: int, planes_out: int, *, width: int = 32, depth: int = 8, scale: int = 1
    ) -> None:
        super().__init__()
        layers = [_conv(planes_in if k == 0 else width, width) for k in range(depth)]
        self.body = nn.ModuleList(layers)
        self.tail = _silent(_conv(width, planes_out * scale**2))
        self.scale = scale
        self.halo = depth + 1
        self.size_multiple = 1
        self.architecture = f"plain w{width} d{depth} x{scale}"

    def forward(self, x: Tensor) -> Tensor:
        """Return the correction `(n, planes_out, h * scale, w * scale)`."""
        for layer in self.body:
            x = F.relu(layer(x))
        x = self.tail(x)
        return F.pixel_shuffle(x, self.scale) if self.scale > 1 else x


class SmallUNet(nn.Module):
    """A U-Net of two levels that works at half and at a quarter of the resolution.

    Args:
        planes_in, planes_out: planes at the input, and at the output of `scale` times the size.
        width: channels at half resolution; twice that at a quarter.
        deep: convolutions at a quarter.
    """

    def __init__(
        self, planes_in: int, planes_out: int, *, width: int = 32, deep: int = 4, scale: int = 1
    ) -> None:
        super().__init__()
        self.head = nn.Conv2d(planes_in, width, 4, stride=2, padding=1)
        nn.init.kaiming_normal_(self.head.weight, nonlinearity="relu")
        self.down = nn.ModuleList([_conv(width, width), _conv(width, width)])
        self.reduce = nn.Conv2d(width, 2 * width, 2, stride=2)
        nn.init.kaiming_normal_(self.reduce.weight, nonlinearity="relu")
        self.deep = nn.ModuleList([_conv(2 * width, 2 * width) for _ in range(deep)])
        self.enlarge = _conv(2 * width, 4 * width)
        self.up = nn.ModuleList([_conv(width, width), _conv(width, width)])
        self.tail = _silent(_conv(width, planes_out * (2 * scale) ** 2))
        self.scale = scale
        # px: 2 a convolution at half resolution (5), 4 at a quarter (deep + 1), strides 1 + 2.
        self.halo = 2 * 5 + 4 * (deep + 1) + 6
        self.size_multiple = 4
        self.architecture = f"unet w{width} d{deep} x{scale}"

    def forward(self, x: Tensor) -> Tensor:
        """Return the correction `(n, planes_out, h * scale, w * scale)`."""
        x = F.relu(self.head(x))
        for layer in self.down:
            x = F.relu(layer(x))
        y = F.relu(self.reduce(x))
        for layer in self.deep:
            y = F.relu(layer(y))
        x = x + F.pixel_shuffle(self.enlarge(y), 2)
        for layer in self.up:
            x = F.relu(layer(x))
        return F.pixel_shuffle(self.tail(x), 2 * self.scale)


Net = PlainNet | SmallUNet
"""What a task may return."""
