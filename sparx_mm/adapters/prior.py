"""The convolutions through which an adapter sees the image."""

import torch
from torch import nn

from ..layers import PointwiseConv, build_norm


class SpatialPrior(nn.Module):
    """Maps of strides 4, 8, 16 and 32 straight from the image.

    The spatial prior module of ViT-Adapter (https://arxiv.org/abs/2205.08534): three
    3x3 convolutions and max pooling to a quarter of the image's size, a 3x3 convolution
    of stride 2 to each further size, with batch norm and ReLU, and one of 1x1 from each
    size to the channels of the backbone.

    Args:
        dim (int): Channels C of the maps.
        width (int): Channels of the first convolutions; 2, 4 and 4 times as many follow.
            Default: 64.
        in_channels (int): Number of image channels. Default: 3.
        norm_cfg (dict): Config of the norms. Default: ``dict(type='BN')``.
        quarter (bool): Make the map of stride 4. Default: True.
    """

    def __init__(
        self,
        dim: int,
        width: int = 64,
        in_channels: int = 3,
        norm_cfg: dict = dict(type='BN'),
        quarter: bool = True,
    ) -> None:
        super().__init__()

        def conv(inputs, outputs, stride):
            return (
                nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
                build_norm(norm_cfg, outputs),
                nn.ReLU(),
            )

        self.stem = nn.Sequential(
            *conv(in_channels, width, 2),
            *conv(width, width, 1),
            *conv(width, width, 1),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.conv2 = nn.Sequential(*conv(width, 2 * width, 2))
        self.conv3 = nn.Sequential(*conv(2 * width, 4 * width, 2))
        self.conv4 = nn.Sequential(*conv(4 * width, 4 * width, 2))
        self.fc1 = PointwiseConv(width, dim, linear=False) if quarter else None
        self.fc2 = PointwiseConv(2 * width, dim, linear=False)
        self.fc3 = PointwiseConv(4 * width, dim, linear=False)
        self.fc4 = PointwiseConv(4 * width, dim, linear=False)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Map (B, in_channels, H, W) to four maps of C channels, the first None if not made."""
        c1 = self.stem(images)
        c2 = self.conv2(c1)
        c3 = self.conv3(c2)
        c4 = self.conv4(c3)
        return self.fc1 and self.fc1(c1), self.fc2(c2), self.fc3(c3), self.fc4(c4)
