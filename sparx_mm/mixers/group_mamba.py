"""Selective scans of four groups of channels, each in its own direction."""

import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.kernels import selective_scan, without_autocast

from ..errors import ConfigError
from ..layers import DepthwiseConv, LayerNorm2d, PointwiseConv
from ..registry import MODELS
from .scan_parameters import ScanParameters, widen

NUM_GROUPS = 4


@MODELS.register_module()
class ModulatedGroupMamba(ScanParameters):
    """Modulated group Mamba of GroupMamba (https://arxiv.org/abs/2407.13772).

    Channels are in four groups. Each has a Mamba of its own: input projection,
    depthwise convolution, SiLU, one selective scan, norm, gate and output
    projection. The first group scans a map row by row and the second one column by
    column; the third and the fourth do so backwards. The result is multiplied by the
    normed input and by a gate of each channel, normed by the same norm again, and
    projected. Norm and input projection are the mixer's own.

    Args:
        dim (int): Number of channels C, a multiple of 4.
        d_state (int): States N per channel. Default: 1.
        dt_rank (int or str): Rank R of delta's projection in a group of
            D = C / 4 channels; ``'auto'`` is ceil(D / 16). Default: ``'auto'``.
        d_conv (int): Side of the depthwise convolution's kernel, odd. Default: 3.
        reduction (int): C as a multiple of the channel gate's hidden channels,
            rounded down. Default: 16.

    Attributes:
        in_channels (int): Number of channels C that ``forward`` takes.
        owns_norm (bool): True: a layer has no norm before this mixer.

    Raises:
        ConfigError: If ``dim`` is not a multiple of 4, ``d_conv`` is not odd or
            ``reduction`` is below 1.
    """

    owns_norm = True

    def __init__(
        self,
        dim: int,
        d_state: int = 1,
        dt_rank: int | str = 'auto',
        d_conv: int = 3,
        reduction: int = 16,
    ) -> None:
        if dim % NUM_GROUPS:
            raise ConfigError(
                f'ModulatedGroupMamba deals channels out to {NUM_GROUPS} groups, got {dim}: give '
                'embed_dims that are multiples of it'
            )
        if not isinstance(reduction, int) or reduction < 1:
            raise ConfigError(f'reduction must be an int from 1, got {reduction!r}')
        super().__init__(dim // NUM_GROUPS, NUM_GROUPS, d_state, 1.0, dt_rank)
        self.in_channels = dim
        self.norm = LayerNorm2d(dim)
        self.gate = _ChannelGate(dim, max(dim // reduction, 1))
        self.in_proj = _grouped_linear(dim, 2 * dim)
        self.conv = DepthwiseConv(dim, d_conv)
        self.out_norm = _GroupedLayerNorm(dim)
        self.out_proj = _grouped_linear(dim, dim)
        self.skip_scale = nn.Parameter(torch.ones(1))
        self.proj = PointwiseConv(dim, dim)
        self.reset_scan_parameters()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens.

        Args:
            x (Tensor): Map of shape (B, C, H, W), not normed.

        Returns:
            Tensor: Map of shape (B, C, H, W).
        """
        n = self.norm(x)
        a, z = _split_halves(self.in_proj(n))
        a = self.conv(a, 'silu')
        # (B, C, H, W) -> (B, 4*(R+2N), H, W)
        p = F.conv2d(a, self.x_proj_weight.unsqueeze(-1), groups=NUM_GROUPS)
        weights = map(widen, (self.dt_weight, self.dt_bias, self.A_log, self.D))
        y = _scan_and_norm(a, p, *weights, self.out_norm)
        y = self.out_proj(y.to(z.dtype) * F.silu(z))
        # a product with the mixer's input, and the same norm again
        return self.proj(self.norm(y * n * (self.gate(n) * self.skip_scale)))


class _ChannelGate(nn.Module):
    """Weight between 0 and 1 of each channel, from its mean over positions."""

    def __init__(self, dim, hidden):
        super().__init__()
        self.fc1 = PointwiseConv(dim, hidden)
        self.fc2 = PointwiseConv(hidden, dim)

    def forward(self, x):
        """Map (B, C, H, W) to (B, C, 1, 1)."""
        return self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class _GroupedLayerNorm(nn.LayerNorm):
    """LayerNorm over the channels of each group and position."""

    def forward(self, x):
        """Normalise a (B, C, H, W) map; the shape stays."""
        weight, bias = (widen(p).view(NUM_GROUPS, -1) for p in (self.weight, self.bias))
        # (B, C, H, W) -> (B, H, W, 4, D)
        x = x.permute(0, 2, 3, 1).unflatten(3, (NUM_GROUPS, -1))
        x = F.layer_norm(x, weight.shape[1:], eps=self.eps) * weight + bias
        # -> (B, C, H, W), channels-last
        return x.flatten(3).permute(0, 3, 1, 2)


def _grouped_linear(in_channels, out_channels):
    """Make a linear layer of each group, without bias."""
    return nn.Conv2d(in_channels, out_channels, 1, groups=NUM_GROUPS, bias=False)


def _split_halves(x):
    """Split each group of (B, 2C, H, W) in two: twice (B, C, H, W), channels-last."""
    # (B, 2C, H, W) -> (B, H, W, 4, 2, D)
    halves = x.permute(0, 2, 3, 1).unflatten(3, (NUM_GROUPS, 2, -1)).unbind(4)
    return [half.flatten(3).permute(0, 3, 1, 2) for half in halves]


def _turn(maps):
    """Transpose the maps of the groups that are scanned by columns."""
    return [one.transpose(2, 3) if group % 2 else one for group, one in enumerate(maps)]


def _reverse(sequences):
    """Reverse the sequences of the groups that are scanned backwards."""
    return [one.flip(2) if group > 1 else one for group, one in enumerate(sequences)]


def _to_sequences(x):
    """Reorder (B, 4*D, H, W) to (B, 4, D, H*W), each group in its direction."""
    maps = _turn(x.unflatten(1, (NUM_GROUPS, -1)).unbind(1))
    return torch.stack(_reverse([one.flatten(2) for one in maps]), 1)


def _to_maps(sequences, like):
    """Invert `_to_sequences` for a map of the shape of another one."""
    # reshaped as another tensor, because torch's exporter to ONNX takes sizes as constants here
    shapes = _turn(like.unflatten(1, (NUM_GROUPS, -1)).unbind(1))
    parts = zip(_reverse(sequences.unbind(1)), shapes)
    return torch.cat(_turn([sequence.reshape_as(one) for sequence, one in parts]), 1)


# because a scan multiplies the rounding error of its step sizes
@without_autocast
def _scan_and_norm(a, p, dt_weight, dt_bias, A_log, D, norm):
    """Scan (B, C, H, W) and norm it, in float32 at least; the shape stays."""
    u, p = (_to_sequences(x).to(D.dtype) for x in (a, p))
    d_state = A_log.shape[1]
    # (B, 4, R+2N, L) -> (B, 4, R, L), (B, 4, N, L), (B, 4, N, L)
    dt, B, C = p.split([dt_weight.shape[2], d_state, d_state], dim=2)
    # (4, D, R) @ (B, 4, R, L) -> (B, 4*D, L)
    delta = (dt_weight @ dt).flatten(1, 2)
    y = selective_scan(
        u.flatten(1, 2), delta, -A_log.exp(), B, C, D, dt_bias.flatten(), delta_softplus=True
    )
    return norm(_to_maps(y.unflatten(1, (NUM_GROUPS, -1)), a))
