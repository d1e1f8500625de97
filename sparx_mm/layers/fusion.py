"""Fusions: what joins a decoder's map with the encoder's map of the same size."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from sparx_mm.kernels import without_autocast

from ..errors import ConfigError
from ..registry import MODELS
from .gates import ChannelMLP
from .norm import build_norm
from .pointwise import PointwiseConv

# of FcaNet's (https://arxiv.org/abs/2012.11879) "top16": pairs of a row's and a column's
TOP16 = (
    *((0, 0), (0, 1), (6, 0), (0, 5), (0, 2), (1, 0), (1, 2), (4, 0)),
    *((5, 0), (1, 6), (3, 0), (0, 4), (0, 6), (0, 3), (3, 5), (2, 2)),
)
GLOBAL_BRANCHES = ('conv', 'mlp', 'ms_cam')


@MODELS.register_module('Add')
class AddFusion(nn.Module):
    """Add the two maps, as VM-UNet does.

    Args:
        dim (int): Number of channels C.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Join two maps.

        Args:
            x (Tensor): The decoder's, of shape (B, C, H, W).
            skip (Tensor): The encoder's, of the same shape.

        Returns:
            Tensor: Map of shape (B, C, H, W).
        """
        return x + skip


@MODELS.register_module('MFMS')
class MFMSFusion(nn.Module):
    """Weigh the two maps by frequencies and positions: MFMSBlock of CVMH-UNet.

    With ``w = sigmoid(G(x + skip) + L(x + skip))`` the result is
    ``w skip + (1 - w) x`` (https://arxiv.org/abs/2410.05624). L is a bottleneck of two
    1x1 convolutions. G is one weight of each channel: the map times the bases of a discrete
    cosine transform, each pooled over positions by mean, maximum and minimum, and averaged over
    the frequencies; each kind of pooling goes through its own convolution along the
    channels, and the three are added.

    Inferred, because no code is public: the sixteen frequencies and their mean, from the
    multiply-adds printed and from MADGNet, whose block this follows; the bottleneck's C / 4,
    from the parameters printed. The printed basis has the half of its cosine on the
    frequency, which no cosine transform has; here it is on the position.

    Args:
        dim (int): Number of channels C.
        global_branch (str): G: ``'conv'`` as above; ``'mlp'``, one C→C/16→C of all three
            poolings in place of the convolutions; ``'ms_cam'``, a bottleneck like L of the
            map's mean, whose batch norms train on two images or more. Default: ``'conv'``.
        frequencies (Sequence[tuple[int, int]]): Frequency by rows and by columns of each
            basis, one or more. Default: FcaNet's sixteen.
        frequency_grid (int, optional): Side of a grid that the frequencies are places in:
            those of a map of side S are multiplied by ``max(S // grid, 1)``, as in FcaNet,
            which knows its maps' sizes. None: they are taken as they are.
            Default: None.
        norm_cfg (dict): Config of the norms. Default: ``dict(type='BN')``.

    Raises:
        ConfigError: If ``global_branch`` is another one, or if ``frequencies`` or
            ``frequency_grid`` is not one of those above.
    """

    def __init__(
        self,
        dim: int,
        global_branch: str = 'conv',
        frequencies: Sequence[tuple[int, int]] = TOP16,
        frequency_grid: int | None = None,
        norm_cfg: dict = dict(type='BN'),
    ) -> None:
        super().__init__()
        if global_branch not in GLOBAL_BRANCHES:
            raise ConfigError(
                f'global_branch must be one of {GLOBAL_BRANCHES}, got {global_branch!r}'
            )
        self.frequencies = [tuple(pair) for pair in frequencies]
        if not self.frequencies or any(len(pair) != 2 for pair in self.frequencies):
            raise ConfigError(f'frequencies must be pairs, one or more, got {frequencies!r}')
        if frequency_grid is not None and (
            not isinstance(frequency_grid, int) or frequency_grid < 1
        ):
            raise ConfigError(
                f'frequency_grid must be None or an int from 1, got {frequency_grid!r}'
            )
        self.frequency_grid = frequency_grid
        self.local_branch = _bottleneck(dim, norm_cfg)
        self.global_branch = self.convs = None
        if global_branch == 'conv':
            side = _kernel_side(dim)
            self.convs = nn.ModuleList(
                nn.Conv1d(1, 1, side, padding=side // 2, bias=False) for _ in range(3)
            )
        elif global_branch == 'mlp':
            self.global_branch = ChannelMLP(dim)
        else:
            self.global_branch = _bottleneck(dim, norm_cfg)
        self.pools_frequencies = global_branch != 'ms_cam'

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Join two maps.

        Args:
            x (Tensor): The decoder's, of shape (B, C, H, W).
            skip (Tensor): The encoder's, of the same shape.

        Returns:
            Tensor: Map of shape (B, C, H, W).
        """
        both = x + skip
        weight = (self._look_globally(both) + self.local_branch(both)).sigmoid()
        return x + weight * (skip - x)

    def _look_globally(self, x):
        """Map (B, C, H, W) to (B, C, 1, 1)."""
        if not self.pools_frequencies:
            return self.global_branch(x.mean((2, 3), keepdim=True))
        pooled = pool_frequencies(x, self.frequencies, self.frequency_grid)
        pooled = [one.to(x.dtype) for one in pooled]
        if self.convs is None:
            return sum(self.global_branch(one[..., None, None]) for one in pooled)
        # (B, C) -> (B, 1, C) -> (B, C, 1, 1)
        mixed = sum(conv(one.unsqueeze(1)) for conv, one in zip(self.convs, pooled))
        return mixed.transpose(1, 2).unsqueeze(3)


def _bottleneck(dim, norm_cfg):
    """Make the point-wise attention of MS-CAM (https://arxiv.org/abs/2009.14082)."""
    hidden = max(dim // 4, 1)
    return nn.Sequential(
        PointwiseConv(dim, hidden, linear=False),
        build_norm(norm_cfg, hidden),
        nn.ReLU(),
        PointwiseConv(hidden, dim, linear=False),
        build_norm(norm_cfg, dim),
    )


def _kernel_side(dim: int) -> int:
    """Return ECA-Net's side of a kernel over ``dim`` channels, odd."""
    side = int(abs(math.log2(dim) / 2 + 0.5))
    return side if side % 2 else side + 1


# autocast would round the sums over all positions to 16 bits
@without_autocast
def pool_frequencies(
    x: torch.Tensor, frequencies: Sequence[tuple[int, int]], grid: int | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Multiply a map by bases of a cosine transform and pool it over positions.

    Args:
        x (Tensor): Map of shape (B, C, H, W).
        frequencies (Sequence[tuple[int, int]]): Frequency by rows and by columns of each
            basis.
        grid (int, optional): Grid that they are places in, see `MFMSFusion`. Default: None.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Means, maxima and minima of shape (B, C), averaged
        over the bases, in float32 at least.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    # made anew for each map, because they cost a fraction of one product with it
    rows, columns = (
        _cosines(pairs, side, grid, x) for pairs, side in zip(zip(*frequencies), x.shape[2:])
    )
    means, maxima, minima = [], [], []
    # one at a time, because all products take the memory of as many maps
    for row, column in zip(rows, columns):
        product = (x * (row.unsqueeze(1) * column)).flatten(2)
        means.append(product.mean(2))
        # values of `max` remember a place for the gradient, those of `amax` the whole map
        maxima.append(product.max(2).values)
        minima.append(product.min(2).values)
    return tuple(sum(pooled) / len(frequencies) for pooled in (means, maxima, minima))


def _cosines(frequencies, side, grid, like):
    """Return the cosines (K, side) of K frequencies along one axis."""
    scale = 1 if grid is None else max(side // grid, 1)
    places = (torch.arange(side, device=like.device, dtype=like.dtype) + 0.5) * (math.pi / side)
    return (like.new_tensor(frequencies).unsqueeze(1) * scale * places).cos()
