"""A pyramid of maps from the one map of a backbone without stages."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from torch import nn

from ..errors import ConfigError
from ..layers import LayerNorm2d, PointwiseConv, build_norm
from ..layers.norm import find_norm
from ..registry import build_part, find_part, register_for_all


@register_for_all
class SimpleFeaturePyramid(BaseModule):
    """Make maps of strides 4, 8, 16 and 32 from one of stride 16.

    As in ViTDet (https://arxiv.org/abs/2203.16527), figure 2: transposed convolutions
    enlarge the map by 4 and 2, max pooling halves it, and each of the four passes a
    1x1 and a 3x3 convolution with a norm after each. The options have the names of
    ``SimpleFPN`` in mmdet's projects.

    Args:
        backbone_channel (int): Channels C of the backbone's map, a multiple of 4.
        in_channels (Sequence[int], optional): Channels of the four scales before
            their 1x1 convolutions. There is one choice, which mmdet's configs write
            down: C / 4, C / 2, C and C. Default: that.
        out_channels (int): Channels of the maps that are returned. Default: 256.
        num_outs (int): Number of maps, from 4. Those beyond the fourth are every
            second row and column of the one before. Default: 5.
        norm_cfg (dict, optional): Config of the norms; the eps of ``LN2d`` is 1e-6 unless
            it says otherwise. None: convolutions have biases instead.
            Default: ``dict(type='LN2d', eps=1e-6)``.
        act_cfg (dict, optional): Config of what follows each norm: an activation
            that is registered, one of ``torch.nn``, or a class. Default: None, nothing.
        init_cfg (dict or list[dict], optional): mmengine initialisation config.
            Default: None.

    Raises:
        ConfigError: If an argument is not one of those above.

    Example:
        >>> import torch
        >>> from sparx_mm.necks import SimpleFeaturePyramid
        >>> maps = SimpleFeaturePyramid(8, out_channels=6)((torch.rand(1, 8, 4, 6), ))
        >>> [tuple(m.shape[1:]) for m in maps]
        [(6, 16, 24), (6, 8, 12), (6, 4, 6), (6, 2, 3), (6, 1, 2)]
    """

    def __init__(
        self,
        backbone_channel: int,
        in_channels: Sequence[int] | None = None,
        out_channels: int = 256,
        num_outs: int = 5,
        norm_cfg: dict | None = dict(type='LN2d', eps=1e-6),
        act_cfg: dict | None = None,
        init_cfg: dict | Sequence[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        dim = backbone_channel
        if not isinstance(dim, int) or dim < 4 or dim % 4:
            raise ConfigError(f'backbone_channel must be a multiple of 4, got {dim!r}')
        channels = [dim // 4, dim // 2, dim, dim]
        if in_channels not in (None, channels, tuple(channels)):
            raise ConfigError(
                f'in_channels of a backbone_channel of {dim} are {channels}, got '
                f'{in_channels!r}: leave them out'
            )
        if not isinstance(out_channels, int) or out_channels < 1:
            raise ConfigError(f'out_channels must be an int from 1, got {out_channels!r}')
        if not isinstance(num_outs, int) or num_outs < 4:
            raise ConfigError(f'num_outs must be an int from 4, got {num_outs!r}')
        if not isinstance(act_cfg, (dict, type(None))):
            raise ConfigError(
                f"act_cfg must be a config, dict(type='ReLU'), or None, got {act_cfg!r}"
            )
        self.num_outs = num_outs
        if isinstance(norm_cfg, dict) and find_norm(norm_cfg.get('type')) is LayerNorm2d:
            # as in ViTDet, where other layer norms here have 1e-5
            norm_cfg = dict(dict(eps=1e-6), **norm_cfg)
        self.scales = ModuleList(
            [
                nn.Sequential(
                    _double(dim, dim // 2),
                    *([] if norm_cfg is None else [build_norm(norm_cfg, dim // 2)]),
                    nn.GELU(),
                    _double(dim // 2, dim // 4),
                ),
                _double(dim, dim // 2),
                nn.Identity(),
                # rounds up, as strides do elsewhere
                nn.MaxPool2d(2, ceil_mode=True),
            ]
        )

        def finish(convolution):
            parts = [] if norm_cfg is None else [build_norm(norm_cfg, out_channels)]
            parts += [] if act_cfg is None else [_build_activation(act_cfg)]
            return nn.Sequential(convolution, *parts)

        bias = norm_cfg is None
        self.lateral_convs = ModuleList(
            finish(PointwiseConv(number, out_channels, bias=bias)) for number in channels
        )
        self.fpn_convs = ModuleList(
            finish(nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias)) for _ in channels
        )

    def forward(self, inputs: torch.Tensor | Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Make the pyramid.

        Args:
            inputs (Tensor or Sequence[Tensor]): Maps of a backbone, of which the last
                one, of shape (B, C, H, W), is read.

        Returns:
            tuple[Tensor]: ``num_outs`` maps of ``out_channels`` channels, with
            (4H, 4W), (2H, 2W), (H, W), (ceil(H / 2), ceil(W / 2)) positions, and then
            half as many rows and columns from map to map, rounded up.
        """
        x = inputs if isinstance(inputs, torch.Tensor) else inputs[-1]
        parts = zip(self.scales, self.lateral_convs, self.fpn_convs)
        # contiguous, because mmcv's RoIAlign reads a channels-last map wrongly
        outs = [conv(lateral(scale(x))).contiguous() for scale, lateral, conv in parts]
        while len(outs) < self.num_outs:
            outs.append(F.max_pool2d(outs[-1], 1, stride=2))
        return tuple(outs)


def _build_activation(cfg):
    """Build an activation; mmcv registers torch's by name, but only once it is imported."""
    kind = cfg.get('type')
    if isinstance(kind, str) and find_part(kind) is None:
        kind = getattr(nn, kind, kind)
    return build_part(dict(cfg, type=kind), 'activation')


def _double(in_channels, out_channels):
    """Make a transposed convolution that doubles the sides of a map."""
    return nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
