"""A selective scan over the channels of each position, as a mixer."""

import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.kernels import selective_scan, without_autocast

from ..errors import ConfigError
from ..registry import MODELS
from .scan_parameters import ScanParameters, widen

NUM_DIRECTIONS = 2
# positions that are scanned side by side as one sequence; the others are more sequences, so
# that a GPU's kernels, which are compiled for a number of channels, serve maps of every size
TILE = 8


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
        # (B, C, H, W) -> (B*H*W, C) -> (S, TILE, C) -> (S, C, TILE, 1)
        values = x.permute(0, 2, 3, 1).reshape(-1, channels)
        # not len, which a tracer takes for a constant
        positions = values.shape[0]
        tiles = (positions + TILE - 1) // TILE
        values = F.pad(values, (0, 0, 0, tiles * TILE - positions))
        values = values.view(tiles, TILE, channels).transpose(1, 2).unsqueeze(3)
        padded = F.pad(values, (0, 0, 0, 0, 1, 1))
        near = torch.cat([padded[:, :-2], values, padded[:, 2:]], dim=3)
        # (S, C, TILE, 3) -> (S, C, TILE, E)
        a = F.silu(F.linear(near, self.in_conv.weight.squeeze(1)) + self.embedding.unsqueeze(1))
        y = self._scan(a, 0) + self._scan(a.flip(1), 1).flip(1)
        y = y * F.silu(F.linear(values, self.gate_conv.weight.squeeze(1), self.gate_conv.bias))
        y = F.linear(y.to(a.dtype), self.out_conv.weight.squeeze(2), self.out_conv.bias)
        # (S, C, TILE, 1) -> (B*H*W, C) -> (B, H, W, C) -> (B, C, H, W)
        y = y.squeeze(3).transpose(1, 2).reshape(-1, channels)[:positions]
        return y.view(batch, height, width, channels).permute(0, 3, 1, 2)

    def _scan(self, a: torch.Tensor, direction: int) -> torch.Tensor:
        """Scan along axis 1 with the parameters of a direction: (S, C, TILE, E) to the same."""
        tiles, num_channels, _, width = a.shape
        rank = self.dt_weight.shape[-1]
        weight = self.x_proj_weight.squeeze(-1).unflatten(0, (NUM_DIRECTIONS, -1))[direction]
        dt, B, C = F.linear(a, weight).split([rank, 1, 1], dim=3)
        delta = _step_sizes(widen(self.dt_weight)[direction], dt)
        A = -widen(self.A_log).exp().view(NUM_DIRECTIONS, width, 1)[direction]
        bias, D = widen(self.dt_bias)[direction], widen(self.D).view(NUM_DIRECTIONS, width)
        # a sequence has TILE*E channels, which are scanned side by side. With one state,
        # the weights of a position are factors of what goes in and comes out
        ones = A.new_ones(tiles, 1, num_channels)
        u, delta = (t.flatten(2).transpose(1, 2) for t in (a * B, delta))
        A, bias = A.repeat(TILE, 1), bias.repeat(TILE)
        h = selective_scan(u, delta, A, ones, ones, delta_bias=bias, delta_softplus=True)
        # (S, TILE*E, C) -> (S, C, TILE, E), in the layout of a
        h = h.transpose(1, 2).contiguous().view_as(a)
        return a * D[direction] + h * C


# step sizes need float32, because a scan multiplies their rounding error
@without_autocast
def _step_sizes(weight, dt):
    """Multiply (E, R) by (S, C, TILE, R) in the weight's dtype: (S, C, TILE, E)."""
    return F.linear(dt.to(weight.dtype), weight)
