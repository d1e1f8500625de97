"""Projections: what makes the mixer's input in a layer that reads no other."""

from torch import nn

from ..errors import ConfigError
from ..registry import MODELS
from .pointwise import PointwiseConv


@MODELS.register_module()
class LinearProjection(PointwiseConv):
    """1x1 convolution, from (B, C, H, W) to (B, out_channels, H, W).

    Args:
        dim (int): Number of channels C.
        out_channels (int): Number of channels that the mixer reads.
        bias (bool): Learn a bias. Default: True.
    """

    def __init__(self, dim: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(dim, out_channels, bias)


@MODELS.register_module('Identity')
class IdentityProjection(nn.Identity):
    """No projection, for a mixer that brings its own.

    Args:
        dim (int): Number of channels C.
        out_channels (int): Number of channels that the mixer reads, C too.

    Raises:
        ConfigError: If the mixer reads another number of channels.
    """

    def __init__(self, dim: int, out_channels: int) -> None:
        if out_channels != dim:
            raise ConfigError(
                f"projection 'Identity' hands on {dim} channels, and the mixer reads "
                f"{out_channels}: take 'LinearProjection'"
            )
        super().__init__()
