"""ViT-Adapter, https://arxiv.org/abs/2205.08534: four maps beside a backbone that has one."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleDict, ModuleList
from torch import nn

from ..layers import build_norm, checkpoint_layer, draw_weights
from .deformable_attention import DeformableAttention
from .interaction import Extractor, Injector
from .levels import pyramid_sizes, to_maps, to_tokens
from .prior import SpatialPrior


class ViTAdapter(BaseModule):
    """Exchange tokens with groups of a backbone's layers, and make four maps of them.

    Before each group of layers the backbone's map reads the adapter's tokens, and after
    it they read the map; see `Injector` and `Extractor`. Further extractors follow the
    last group.

    Args:
        dim (int): Channels C of the backbone.
        num_heads (int): Heads of the attention.
        num_groups (int): Number of groups of layers. Default: 4.
        extra_extractors (int): Extractors after the last group's. Default: 2.
        drop_path_rate (float): Stochastic depth rate of the extractors' FFN.
            Default: 0.
        out_indices (Sequence[int]): Maps that are returned: 0 to 3, of strides 4 to 32.
            Default: (0, 1, 2, 3).
        in_channels (int): Number of image channels. Default: 3.
        norm_cfg (dict): Config of the batch norms. Default: ``dict(type='BN')``.
        with_cp (bool): Checkpoint activations while training. Default: False.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        num_groups: int = 4,
        extra_extractors: int = 2,
        drop_path_rate: float = 0.0,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        in_channels: int = 3,
        norm_cfg: dict = dict(type='BN'),
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.out_indices = tuple(out_indices)
        self.with_cp = with_cp
        # only what the returned maps need is built, so no parameter goes unused
        quarter = 0 in self.out_indices
        self.prior = SpatialPrior(dim, in_channels=in_channels, norm_cfg=norm_cfg, quarter=quarter)
        self.level_embed = nn.Parameter(torch.randn(3, dim))

        def extractors(number):
            return ModuleList(
                Extractor(dim, num_heads, drop_path_rate=drop_path_rate) for _ in range(number)
            )

        self.injectors = ModuleList(Injector(dim, num_heads) for _ in range(num_groups))
        self.extractors = extractors(num_groups)
        self.extra_extractors = extractors(extra_extractors)
        self.up = nn.ConvTranspose2d(dim, dim, 2, stride=2) if quarter else None
        self.norms = ModuleDict({str(i): build_norm(norm_cfg, dim) for i in self.out_indices})
        for module in self.modules():
            draw_weights(module, 'fan_out')
        for module in self.modules():
            if isinstance(module, DeformableAttention):
                module.reset_parameters()

    def forward(
        self, images: torch.Tensor, x: torch.Tensor, groups: Sequence[Callable]
    ) -> list[torch.Tensor]:
        """Run the backbone's layers, and make the maps.

        Args:
            images (Tensor): Images of shape (B, in_channels, 32 H, 32 W).
            x (Tensor): The backbone's map before its first layer, of shape
                (B, C, 2 H, 2 W).
            groups (Sequence[Callable]): Groups of the backbone's layers, each of which
                maps (B, C, 2 H, 2 W) to the same shape.

        Returns:
            list[Tensor]: Maps of C channels and strides 4, 8, 16 and 32, of which
            ``out_indices`` names those that there are.
        """
        quarter, *maps = self.prior(images)
        # (B, C, H, W) + (C, 1, 1)
        maps = [one + embed[:, None, None] for one, embed in zip(maps, self.level_embed)]
        c = to_tokens(*maps)
        for injector, group, extractor in zip(self.injectors, groups, self.extractors):
            x = group(self._run(injector, x, c))
            c = self._run(extractor, c, x)
        for extractor in self.extra_extractors:
            c = self._run(extractor, c, x)
        maps = to_maps(c, pyramid_sizes(x))
        if self.up is not None:
            quarter = quarter + self.up(maps[0])
        pyramid = [quarter, *maps]
        return [self.norms[str(i)](_add_resized(pyramid[i], x)) for i in self.out_indices]

    def _run(self, part, first, second):
        return checkpoint_layer(part, first, second, with_cp=self.with_cp and self.training)


def _add_resized(one, x):
    return one + F.interpolate(x, one.shape[2:], mode='bilinear', align_corners=False)
