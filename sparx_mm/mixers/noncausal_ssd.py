"""Non-causal state space duality as a token mixer."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.kernels import without_autocast

from ..errors import ConfigError
from ..layers import DepthwiseConv, LayerNorm2d, PointwiseConv
from ..layers.heads import check_heads
from ..registry import MODELS
from .scan_parameters import count_channels, draw_step_bias, widen


@MODELS.register_module()
class NonCausalSSD(nn.Module):
    """Non-causal SSD of VSSD (https://arxiv.org/abs/2407.18559).

    Mamba-2's scan without decay and order: all positions write into one state,
    weighted by their step sizes, and each reads it. Two products of matrices do
    both for all heads. Depthwise convolution and SiLU come before them, a norm,
    a gate without activation and a projection after them. The input projection
    is the layer's.

    Args:
        dim (int): Number of output channels C.
        num_heads (int): Number of heads, a divisor of the inner channels; each
            has a weight, a bias of step sizes and a skip connection of its own.
        d_state (int): States N, which all heads share the writing and reading
            of. Default: 64.
        ssm_ratio (float): Number of inner channels D as a multiple of C.
            Default: 2.
        d_conv (int): Side of the depthwise convolution's kernel. Default: 3.

    Attributes:
        in_channels (int): Number of channels 2D + 2N + num_heads that
            ``forward`` takes.

    Raises:
        ConfigError: If D is not a multiple of ``num_heads``, or if D or N is below 1.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        d_state: int = 64,
        ssm_ratio: float = 2.0,
        d_conv: int = 3,
    ) -> None:
        super().__init__()
        inner = count_channels(dim, ssm_ratio, d_state)
        check_heads(inner, num_heads)
        self.num_heads, self.d_state = num_heads, d_state
        self.splits = [inner, inner + 2 * d_state, num_heads]
        self.in_channels = sum(self.splits)
        self.conv = DepthwiseConv(inner + 2 * d_state, d_conv)
        self.dt_bias = nn.Parameter(torch.empty(num_heads))
        self.A_log = nn.Parameter(torch.empty(num_heads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(num_heads))
        self.norm = LayerNorm2d(inner)
        self.out_proj = PointwiseConv(inner, dim, bias=False)
        draw_step_bias(self.dt_bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens.

        Args:
            x (Tensor): Map of shape (B, in_channels, H, W): the gate (D
                channels), what is mixed (D), what writes (N) and reads (N) the
                states, and the step sizes (one for each head).

        Returns:
            Tensor: Map of shape (B, C, H, W).
        """
        size = x.shape[2:]
        z, u, dt = x.split(self.splits, dim=1)
        u = self.conv(u, 'silu')
        dt = _step_sizes(_tokens(dt), widen(self.dt_bias), widen(self.A_log))
        u, write, read = _tokens(u).split([z.shape[1], self.d_state, self.d_state], dim=2)
        y = self._mix(u, dt, write, read, size)
        # (B, L, D) -> (B, D, H, W), channels-last
        y = self.norm(y.transpose(1, 2).unflatten(2, size))
        # the sums grow with the number of positions, so only the normed ones fit 16 bits
        return self.out_proj((y * z).to(z.dtype))

    def _mix(self, u, dt, write, read, size):
        return _mix_all(u, dt, write, read, widen(self.D))


@MODELS.register_module()
class RotaryNonCausalSSD(NonCausalSSD):
    """Non-causal SSD that is normalised as linear attention is, of VSSD at ICCV 2025.

    Step sizes are weights that a softmax over all positions makes, what writes
    and reads the states is positive and turned by the position (2D rotary
    encoding), and what is read is divided by the sum of its weights. Everything
    else is as in `NonCausalSSD`. Inferred from third parties' copies of the
    authors' code.

    Args:
        dim (int): Number of output channels C.
        num_heads (int): Number of heads, a divisor of the inner channels.
        d_state (int): States N, a multiple of 4. Default: 64.
        ssm_ratio (float): Number of inner channels D as a multiple of C.
            Default: 2.
        d_conv (int): Side of the depthwise convolution's kernel. Default: 3.

    Raises:
        ConfigError: If D is not a multiple of ``num_heads``, ``d_state`` is not
            one of 4, or D or N is below 1.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        d_state: int = 64,
        ssm_ratio: float = 2.0,
        d_conv: int = 3,
    ) -> None:
        if d_state % 4:
            raise ConfigError(
                f'd_state must be a multiple of 4, pairs for rows and columns, got {d_state}'
            )
        super().__init__(dim, num_heads, d_state, ssm_ratio, d_conv)

    def _mix(self, u, dt, write, read, size):
        return _mix_by_weight(u, dt, write, read, widen(self.D), _rotations(size, write, dt.dtype))


def _tokens(x: torch.Tensor) -> torch.Tensor:
    """Reorder (B, D, H, W) to (B, L, D); of a channels-last map a view."""
    return x.flatten(2).transpose(1, 2)


# autocast would round the sums over all positions to 16 bits
@without_autocast
def _step_sizes(dt, bias, A_log):
    """Make the weights of positions and heads (B, L, heads), in the dtype of ``bias``."""
    return F.softplus(dt.to(bias.dtype) + bias) * A_log.exp()


@without_autocast
def _mix_all(u, dt, write, read, D):
    """Sum over all positions what they write and read it at each, (B, L, D)."""
    u, write, read = (tokens.to(dt.dtype) for tokens in (u, write, read))
    # (B, L, D) -> (B, L, heads, D/heads)
    u = u.unflatten(2, (len(D), -1))
    # (B, N, L) @ (B, L, D)
    states = write.transpose(1, 2) @ (u * dt.unsqueeze(3)).flatten(2)
    y = (read @ states).unflatten(2, (len(D), -1))
    return (y + u * D.unsqueeze(1)).flatten(2)


@without_autocast
def _mix_by_weight(u, dt, write, read, D, rotations):
    """Average over all positions what they write and read it at each, (B, L, D)."""
    u, write, read = (tokens.to(dt.dtype) for tokens in (u, write, read))
    write, read = F.elu(write) + 1, F.elu(read) + 1
    weights = dt.softmax(1)
    # (B, L, N) @ (B, N, L) @ (B, L, heads), and an eps of each channel
    total = read @ (write.transpose(1, 2) @ weights) + 1e-6 * u.shape[2]
    u = u.unflatten(2, (len(D), -1))
    states = _rotate(write, rotations).transpose(1, 2) @ (u * weights.unsqueeze(3)).flatten(2)
    y = (_rotate(read, rotations) @ states).unflatten(2, (len(D), -1))
    return (y / total.unsqueeze(3) + u * D.unsqueeze(1)).flatten(2)


def _rotations(size, tokens, dtype):
    """Return the cosines and sines of each position, (L, N/2): rows first, then columns."""
    pairs = tokens.shape[2] // 4
    steps = torch.arange(pairs, device=tokens.device, dtype=dtype)
    theta = torch.exp(steps * (-math.log(10000) / pairs))
    rows, columns = (torch.arange(side, device=tokens.device, dtype=dtype) for side in size)
    # (H, W, N/4) each -> (L, N/2)
    rows = (rows[:, None, None] * theta).expand(-1, size[1], -1)
    columns = (columns[None, :, None] * theta).expand(size[0], -1, -1)
    angles = torch.cat([rows, columns], 2).flatten(0, 1)
    return angles.cos(), angles.sin()


def _rotate(tokens, rotations):
    """Turn adjacent pairs of (B, L, N)."""
    cos, sin = rotations
    a, b = tokens.unflatten(2, (-1, 2)).unbind(3)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], 3).flatten(2)
