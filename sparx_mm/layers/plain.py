"""What backbones without stages are built of beside `Layer`."""

import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.kernels import is_traced

from ..errors import ConfigError
from ..registry import MODELS
from ..state_dicts import resize_position_grid, resize_tables
from .depthwise import DepthwiseConv
from .layer import Layer
from .norm import build_norm
from .stem import conv3x3, pad_to_multiple

# side of the patches at half of the image's size
_PATCH = 8


@MODELS.register_module()
class PlainStem(nn.Module):
    """Stem to a sixteenth of the image's size, with learned positions.

    As in PlainMamba (https://arxiv.org/abs/2403.17695): a convolution of 7x7 and stride 2
    and ``num_convs`` of 3x3, each with a batch norm and ReLU, and patches of 8x8, for
    which the map is padded at the bottom and right. The position embedding, a map for
    one size of images, is resized bicubically to any other. (B, in_channels, H, W)
    becomes (B, dim, ceil(H / 16), ceil(W / 16)).

    Args:
        dim (int): Number of output channels C.
        in_channels (int): Number of image channels. Default: 3.
        num_convs (int): Number of convolutions of 3x3. Default: 1.
        width (int): Number of channels before the patches. Default: 64.
        grid (int): Side of the position embedding, of images of 16 times as many
            pixels. Default: 14.
        norm_cfg (dict): Config of the norms. Default: ``dict(type='BN')``.

    Attributes:
        reduction (int): Side of the image as a multiple of the map's, 16.

    Raises:
        ConfigError: If ``num_convs`` is below 0, or ``width`` or ``grid`` below 1.
    """

    reduction = 2 * _PATCH

    def __init__(
        self,
        dim: int,
        in_channels: int = 3,
        num_convs: int = 1,
        width: int = 64,
        grid: int = 14,
        norm_cfg: dict = dict(type='BN'),
    ) -> None:
        super().__init__()
        for name, value, least in (
            ('num_convs', num_convs, 0),
            ('width', width, 1),
            ('grid', grid, 1),
        ):
            if not isinstance(value, int) or value < least:
                raise ConfigError(f'{name} of the stem must be an int from {least}, got {value!r}')
        self.in_channels = in_channels
        self.entry = nn.Sequential(
            nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False),
            build_norm(norm_cfg, width),
            nn.ReLU(),
        )
        layers = []
        for _ in range(num_convs):
            layers += [conv3x3(width, width, 1, bias=False), build_norm(norm_cfg, width), nn.ReLU()]
        self.convs = nn.Sequential(*layers)
        self.proj = nn.Conv2d(width, dim, _PATCH, stride=_PATCH)
        self.pos_embed = nn.Parameter(torch.empty(1, dim, grid, grid))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a (B, in_channels, H, W) image to (B, dim, H', W')."""
        x = self._project(pad_to_multiple(self.convs(self.entry(x)), _PATCH))
        return x + resize_position_grid(self.pos_embed, x.shape[2:]).to(x.dtype)

    def _project(self, x: torch.Tensor) -> torch.Tensor:
        """Project patches, in 16 bits on a CPU as a product.

        torch 2.13 makes that convolution wrong on a CPU with AMX from fewer than 32 channels.
        """
        narrow = x.itemsize == 2 or torch.is_autocast_enabled('cpu')
        if x.device.type != 'cpu' or is_traced() or not narrow:
            return self.proj(x)
        # (B, C, H, W) -> (B, C, H', P, W', P) -> (B, H', W', C P P)
        patches = x.unflatten(2, (-1, _PATCH)).unflatten(4, (-1, _PATCH))
        patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(3)
        return F.linear(patches, self.proj.weight.flatten(1), self.proj.bias).permute(0, 3, 1, 2)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        name = f'{prefix}pos_embed'
        given = {name: state_dict[name]} if name in state_dict else {}
        # in place, because torch hands this very dict to the children
        state_dict.update(resize_tables(given, {name: self.pos_embed}))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class ConvolvedLayer(Layer):
    """Layer whose result passes a depthwise 3x3 convolution, batch norm and GELU.

    The first layer of PlainMamba's smallest model; there is no shortcut around these.

    Args:
        dim (int): Number of channels C.
        *args: Further arguments of `Layer`.
        norm_cfg (dict): Config of the batch norm. Default: ``dict(type='BN')``.
        **kwargs: Further arguments of `Layer`, by name.
    """

    def __init__(self, dim: int, *args, norm_cfg: dict = dict(type='BN'), **kwargs) -> None:
        super().__init__(dim, *args, **kwargs)
        self.conv = DepthwiseConv(dim, 3, bias=False)
        self.conv_norm = build_norm(norm_cfg, dim)

    def forward(self, x: torch.Tensor, *earlier) -> torch.Tensor:
        """Run the layer.

        Args:
            x (Tensor): Map of shape (B, C, H, W).
            *earlier: Earlier maps, see `Layer.forward`.

        Returns:
            Tensor: Map of shape (B, C, H, W).
        """
        return F.gelu(self.conv_norm(self.conv(super().forward(x, *earlier))))
