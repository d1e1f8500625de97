"""A selective scan over the channels of each position, as a mixer."""

import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.kernels import selective_scan, without_autocast

from ..errors import ConfigError
from ..registry import MODELS
from .scan_parameters import ScanParameters, widen

NUM_DIRECTIONS = 2


@MODELS.register_module()
class ChannelSSM(ScanParameters):
    """Selective scans whose sequence is the channels of one position.

    It mixes channels and no positions, so a map may have any size. For a position of
    values v_c, with vectors of E numbers, the width,

        a_c = SiLU(w_1 v_{c-1} + w_2 v_c + w_3 v_{c+1} + e_c)
        y_c = o . (SiLU(g v_c + h) (forward(a)_c + reverse(a)_c)) + b

    where e_c is the channel's own, and forward and reverse are scans of one state with
    parameters of their own. MambaMixer (https://arxiv.org/abs/2403.19888) mixes channels
    by scans too. Its code was not released, and the weights of its printed form depend on
    the number of positions; this is another mixer.

    Args:
        dim (int): Number of channels C.
        width (int): Width E. Default: 8.
        dt_rank (int or str): Rank R of delta's projection; ``'auto'`` is ceil(E / 16).
            Default: ``'auto'``.

    Attributes:
        in_channels (int): Number of channels C that ``forward`` takes.

    Raises:
        ConfigError: If ``width`` is no int from 1.
    """

    def __init__(self, dim: int, width: int = 8, dt_rank: int | str = 'auto') -> None:
        if not isinstance(width, int) or width < 1:
            raise ConfigError(f'width must be an int from 1, got {width!r}')
        super().__init__(width, NUM_DIRECTIONS, 1, 1.0, dt_rank)
        self.in_channels = dim
        # Conv1d and Parameter, because a backbone draws linear layers anew with weights
        # that are small for so few inputs
        self.in_conv = nn.Conv1d(1, width, 3, padding=1, bias=False)
        self.embedding = nn.Parameter(torch.empty(dim, width))
        self.gate_conv = nn.Conv1d(1, width, 1)
        self.out_conv = nn.Conv1d(width, 1, 1)
        nn.init.trunc_normal_(self.embedding, std=0.02)
        self.reset_scan_parameters()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix channels.

        Args:
            x (Tensor): Map of shape (B, C, H, W).

        Returns:
            Tensor: Map of the same shape.
        """
        batch, channels, height, width = x.shape
        # (B, C, H, W) -> (C, B, H, W) -> (C, B*H*W, 1)
        values = x.transpose(0, 1).reshape(channels, -1, 1)
        padded = F.pad(values, (0, 0, 0, 0, 1, 1))
        near = torch.cat([padded[:-2], values, padded[2:]], dim=2)
        # (C, B*H*W, 3) -> (C, B*H*W, E)
        a = F.silu(F.linear(near, self.in_conv.weight.squeeze(1)) + self.embedding.unsqueeze(1))
        y = self._scan(a, 0) + self._scan(a.flip(0), 1).flip(0)
        y = y * F.silu(F.linear(values, self.gate_conv.weight.squeeze(1), self.gate_conv.bias))
        y = F.linear(y.to(a.dtype), self.out_conv.weight.squeeze(2), self.out_conv.bias)
        # (C, B*H*W, 1) -> (C, B, H, W) -> (B, C, H, W)
        return y.reshape(channels, batch, height, width).transpose(0, 1)

    def _scan(self, a: torch.Tensor, direction: int) -> torch.Tensor:
        """Scan along axis 0 with the parameters of a direction: (C, B*H*W, E) to the same."""
        num_channels, positions, width = a.shape
        rank = self.dt_weight.shape[-1]
        weight = self.x_proj_weight.squeeze(-1).unflatten(0, (NUM_DIRECTIONS, -1))[direction]
        dt, B, C = F.linear(a, weight).split([rank, 1, 1], dim=2)
        delta = _step_sizes(widen(self.dt_weight)[direction], dt)
        A = -widen(self.A_log).exp().view(NUM_DIRECTIONS, width, 1)[direction]
        bias, D = widen(self.dt_bias)[direction], widen(self.D).view(NUM_DIRECTIONS, width)
        # one sequence of B*H*W*E channels, which are scanned side by side. With one state,
        # the weights of a position are factors of what goes in and comes out
        ones = A.new_ones(1, 1, num_channels)
        u, delta = ((t.flatten(1).t().unsqueeze(0)) for t in (a * B, delta))
        A, bias = A.repeat(positions, 1), bias.repeat(positions)
        h = selective_scan(u, delta, A, ones, ones, delta_bias=bias, delta_softplus=True)
        # (1, B*H*W*E, C) -> (C, B*H*W, E), in the layout of a
        h = h.squeeze(0).t().contiguous().view_as(a)
        return a * D[direction] + h * C


# step sizes need float32, because a scan multiplies their rounding error
@without_autocast
def _step_sizes(weight, dt):
    """Multiply (E, R) by (C, B*H*W, R) in the weight's dtype: (C, B*H*W, E)."""
    return F.linear(dt.to(weight.dtype), weight)
