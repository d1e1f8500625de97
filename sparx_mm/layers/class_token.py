"""Stem to a sequence of patches with a class token among them."""

import torch
from torch import nn

from ..errors import ConfigError
from ..registry import MODELS


@MODELS.register_module()
class ClassTokenStem(nn.Module):
    """Stem that embeds patches and puts a class token in their middle.

    As in Vim (https://arxiv.org/abs/2401.09417): patches row by row, the class token before
    the patch of number n // 2 of n, and a learned position embedding of all n + 1, for one
    size of images. (B, in_channels, H, W) becomes a map of one column, (B, dim, n + 1, 1).

    Args:
        dim (int): Number of output channels C.
        in_channels (int): Number of image channels. Default: 3.
        img_size (int or Sequence[int]): Height and width of the images; one number for
            both. Default: 224.
        patch_size (int): Side of a patch. Default: 16.

    Attributes:
        reduction (int): Side of the image as a multiple of the map's, the side of a patch.
        class_position (int): Number of tokens before the class token, n // 2.

    Raises:
        ConfigError: If an image has no whole number of patches.
    """

    def __init__(
        self,
        dim: int,
        in_channels: int = 3,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
    ) -> None:
        super().__init__()
        size = (img_size,) * 2 if isinstance(img_size, int) else tuple(img_size)
        if len(size) != 2 or min(size) < 1 or any(side % patch_size for side in size):
            raise ConfigError(
                f'img_size must be a multiple of patch_size={patch_size}, or two, got {img_size}'
            )
        self.in_channels, self.img_size, self.reduction = in_channels, size, patch_size
        num_patches = size[0] * size[1] // patch_size**2
        self.class_position = num_patches // 2
        self.proj = nn.Conv2d(in_channels, dim, patch_size, stride=patch_size)
        self.class_token = nn.Parameter(torch.empty(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.empty(1, num_patches + 1, dim))
        for parameter in (self.class_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a (B, in_channels, H, W) image to (B, dim, n + 1, 1).

        Raises:
            ConfigError: If the image is not of ``img_size``.
        """
        if not torch.jit.is_tracing() and tuple(x.shape[2:]) != self.img_size:
            raise ConfigError(
                'the position embedding is of images of {}x{}, got {}x{}: resize them, or give '
                'the stem another img_size'.format(*self.img_size, *x.shape[2:])
            )
        # (B, C, H, W) -> (B, n, C)
        x = self.proj(x).flatten(2).transpose(1, 2)
        # not len(x), which a trace keeps as a constant
        middle = self.class_token.to(x.dtype).expand(x.shape[0], -1, -1)
        place = self.class_position
        x = torch.cat([x[:, :place], middle, x[:, place:]], 1) + self.pos_embed
        # (B, n + 1, C) -> (B, C, n + 1, 1)
        return x.transpose(1, 2).unsqueeze(3)
