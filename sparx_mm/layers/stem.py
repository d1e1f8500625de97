"""Stems: image to features at a quarter of its size.

Images of any size are halved, rounding up, ceil(H / 2): convolutions pad all around,
patches at the bottom and the right.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import ConfigError
from ..registry import MODELS
from .norm import LayerNorm2d, build_norm
from .pointwise import PointwiseConv


def conv3x3(in_channels: int, out_channels: int, stride: int, bias: bool) -> nn.Conv2d:
    """Make a 3x3 convolution that pads by one position all around.

    Args:
        in_channels (int): Number of input channels.
        out_channels (int): Number of output channels.
        stride (int): Stride on both axes.
        bias (bool): Learn a bias.

    Returns:
        nn.Conv2d: From (B, in_channels, H, W) to
        (B, out_channels, ceil(H / stride), ceil(W / stride)).
    """
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=bias)


def pad_to_multiple(x: torch.Tensor, side: int) -> torch.Tensor:
    """Pad with zeros at the bottom and right, up to multiples of ``side``.

    Args:
        x (Tensor): Map of shape (B, C, H, W).
        side (int): What both sides become a multiple of.

    Returns:
        Tensor: Map of shape (B, C, H', W').
    """
    # multiples by their very form, because torch.export takes minutes over sizes whose
    # remainders are nested from stage to stage, and then fixes them
    height, width = ((size + side - 1) // side * side - size for size in x.shape[2:])
    return F.pad(x, (0, width, 0, height))


@MODELS.register_module()
class ConvStem(nn.Sequential):
    """Stem of 3x3 convolutions.

    The first convolution and the last of ``num_convs`` have stride 2; each is
    followed by a norm, all but the last one by GELU. (B, in_channels, H, W)
    becomes (B, dim, ceil(H / 4), ceil(W / 4)).

    Args:
        dim (int): Number of output channels; half as many inside.
        in_channels (int): Number of image channels. Default: 3.
        num_convs (int): Number of convolutions, at least 2. Default: 2.
        extra_convs (int): Number of further ones, at a quarter of the image's
            size. Default: 0.
        bias (bool): Learn biases of the convolutions. Default: False.
        norm_cfg (dict): Config of the norms. Default: ``dict(type='BN')``.

    Attributes:
        reduction (int): Side of the image as a multiple of the map's, 4.

    Raises:
        ConfigError: If ``num_convs`` is below 2.
    """

    reduction = 4

    def __init__(
        self,
        dim: int,
        in_channels: int = 3,
        num_convs: int = 2,
        extra_convs: int = 0,
        bias: bool = False,
        norm_cfg: dict = dict(type='BN'),
    ) -> None:
        if num_convs < 2:
            raise ConfigError(
                f'num_convs must be at least 2 (two of them halve the size), got {num_convs}'
            )
        inner = dim // 2
        layers = [conv3x3(in_channels, inner, 2, bias), build_norm(norm_cfg, inner), nn.GELU()]
        for _ in range(num_convs - 2):
            layers += [conv3x3(inner, inner, 1, bias), build_norm(norm_cfg, inner), nn.GELU()]
        layers += [conv3x3(inner, dim, 2, bias), build_norm(norm_cfg, dim)]
        for _ in range(extra_convs):
            layers += [nn.GELU(), conv3x3(dim, dim, 1, bias), build_norm(norm_cfg, dim)]
        super().__init__(*layers)
        self.in_channels = in_channels


@MODELS.register_module()
class ResidualStem(nn.Module):
    """Stem of convolutions with a shortcut at half of the image's size.

    As in VSSD (https://arxiv.org/abs/2407.18559): 3x3 of stride 2, two of 3x3
    with a shortcut around them, 3x3 of stride 2 to four times the channels,
    1x1. A norm follows each, ReLU the first, second and fourth of them.
    (B, in_channels, H, W) becomes (B, dim, ceil(H / 4), ceil(W / 4)).

    Args:
        dim (int): Number of output channels; half as many inside.
        in_channels (int): Number of image channels. Default: 3.
        ratio (float): Channels before the last convolution as a multiple of
            ``dim``. Default: 4.
        norm_cfg (dict): Config of the norms. Default: ``dict(type='BN')``.

    Attributes:
        reduction (int): Side of the image as a multiple of the map's, 4.
    """

    reduction = 4

    def __init__(
        self,
        dim: int,
        in_channels: int = 3,
        ratio: float = 4.0,
        norm_cfg: dict = dict(type='BN'),
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        inner, wide = dim // 2, int(dim * ratio)

        def conv(*args):
            return conv3x3(*args, bias=False), build_norm(norm_cfg, args[1])

        self.conv1 = nn.Sequential(*conv(in_channels, inner, 2), nn.ReLU())
        self.conv2 = nn.Sequential(*conv(inner, inner, 1), nn.ReLU(), *conv(inner, inner, 1))
        self.conv3 = nn.Sequential(
            *conv(inner, wide, 2),
            nn.ReLU(),
            PointwiseConv(wide, dim, bias=False, linear=False),
            build_norm(norm_cfg, dim),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a (B, in_channels, H, W) image to (B, dim, H', W')."""
        x = self.conv1(x)
        return self.conv3(x + self.conv2(x))


@MODELS.register_module()
class DeepStem(nn.Module):
    """Stem of a 7x7 convolution, two of 3x3 at half of the image's size and one more.

    As in GroupMamba (https://arxiv.org/abs/2407.13772). The first convolution and
    the last one have stride 2; batch norm and ReLU follow the first three, a layer norm
    the last one. (B, in_channels, H, W) becomes (B, dim, ceil(H / 4), ceil(W / 4)).

    Args:
        dim (int): Number of output channels.
        in_channels (int): Number of image channels. Default: 3.
        width (int): Number of channels inside. Default: 64.
        norm_cfg (dict): Config of the norms inside. Default: ``dict(type='BN')``.

    Attributes:
        reduction (int): Side of the image as a multiple of the map's, 4.
    """

    reduction = 4

    def __init__(
        self,
        dim: int,
        in_channels: int = 3,
        width: int = 64,
        norm_cfg: dict = dict(type='BN'),
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        layers = []
        for conv in (
            nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False),
            conv3x3(width, width, 1, bias=False),
            conv3x3(width, width, 1, bias=False),
        ):
            layers += [conv, build_norm(norm_cfg, width), nn.ReLU()]
        self.conv = nn.Sequential(*layers)
        self.proj = conv3x3(width, dim, 2, bias=True)
        self.norm = LayerNorm2d(dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a (B, in_channels, H, W) image to (B, dim, H', W')."""
        return self.norm(self.proj(self.conv(x)))


@MODELS.register_module()
class PatchEmbed(nn.Module):
    """Stem that embeds patches of 4x4 pixels.

    As in Swin Transformer (https://arxiv.org/abs/2103.14030).
    (B, in_channels, H, W) becomes (B, dim, ceil(H / 4), ceil(W / 4)).

    Args:
        dim (int): Number of output channels.
        in_channels (int): Number of image channels. Default: 3.
        pad (bool or int): Pad images to whole patches, or to sides that are multiples of
            this number, itself one of 4. False: leave out the pixels of the last,
            incomplete patches, so that maps have floor(H / 4) rows. Default: True.

    Attributes:
        reduction (int): Side of the image as a multiple of the map's, 4.

    Raises:
        ConfigError: If ``pad`` is another number.
    """

    reduction = 4

    def __init__(self, dim: int, in_channels: int = 3, pad: bool | int = True) -> None:
        super().__init__()
        if not isinstance(pad, bool) and (not isinstance(pad, int) or pad < 4 or pad % 4):
            raise ConfigError(f'pad must be True, False or a multiple of 4 from 4, got {pad!r}')
        self.pad, self.in_channels = 4 if pad is True else pad, in_channels
        self.proj = nn.Conv2d(in_channels, dim, 4, stride=4)
        self.norm = LayerNorm2d(dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a (B, in_channels, H, W) image to (B, dim, H', W').

        Raises:
            ConfigError: If an image that is not padded has no whole patch.
        """
        if self.pad:
            x = pad_to_multiple(x, self.pad)
        elif min(x.shape[2:]) < 4:
            raise ConfigError(
                'a stem that does not pad needs images of at least 4x4, got '
                f'{x.shape[2]}x{x.shape[3]}: pad them, or set pad=True in the arch'
            )
        return self.norm(self.proj(x))
