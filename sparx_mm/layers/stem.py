"""Stem and downsampling: the strided convolutions between stages."""
from mmengine.registry import MODELS
from torch import nn

from .norm import build_norm


def _conv(in_channels, out_channels, stride):
    return nn.Conv2d(
        in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


@MODELS.register_module()
class ConvStem(nn.Sequential):
    """Image to features at a quarter of its size, by 3x3 convolutions.

    The first and the last convolution have stride 2; each is followed by a
    norm, all but the last by GELU. (B, in_channels, H, W) becomes
    (B, dim, ceil(H / 4), ceil(W / 4)).

    Args:
        dim (int): Number of output channels; half as many inside.
        norm_cfg (dict): Config of the norms.
        in_channels (int): Number of image channels. Default: 3.
        num_convs (int): Number of convolutions, at least 2. Default: 2.
    """

    def __init__(self,
                 dim: int,
                 norm_cfg: dict,
                 in_channels: int = 3,
                 num_convs: int = 2) -> None:
        if num_convs < 2:
            raise ValueError('num_convs must be at least 2 (two of them '
                             f'halve the size), got {num_convs}')
        inner = dim // 2
        layers = [
            _conv(in_channels, inner, 2),
            build_norm(norm_cfg, inner),
            nn.GELU()
        ]
        for _ in range(num_convs - 2):
            layers += [
                _conv(inner, inner, 1),
                build_norm(norm_cfg, inner),
                nn.GELU()
            ]
        layers += [_conv(inner, dim, 2), build_norm(norm_cfg, dim)]
        super().__init__(*layers)


@MODELS.register_module()
class ConvDownsample(nn.Sequential):
    """3x3 convolution of stride 2 and a norm, between two stages.

    (B, in_channels, H, W) becomes (B, dim, ceil(H / 2), ceil(W / 2)).

    Args:
        in_channels (int): Number of input channels.
        dim (int): Number of output channels.
        norm_cfg (dict): Config of the norm.
    """

    def __init__(self, in_channels: int, dim: int, norm_cfg: dict) -> None:
        super().__init__(_conv(in_channels, dim, 2), build_norm(norm_cfg, dim))
