"""The learned parameters of selective scans, one set for each direction."""

import math

import torch
from torch import nn

from ..errors import ConfigError


def count_channels(dim: int, ssm_ratio: float, d_state: int) -> int:
    """Count the channels that a mixer scans, and check that they have states.

    Args:
        dim (int): Number of the mixer's output channels C.
        ssm_ratio (float): Number of scanned channels D as a multiple of C.
        d_state (int): States N.

    Returns:
        int: The number D.

    Raises:
        ConfigError: If ``d_state`` is no int from 1, or if no channel is left to scan.
    """
    if not isinstance(d_state, int) or d_state < 1:
        raise ConfigError(f'd_state must be an int from 1, got {d_state!r}')
    inner = int(dim * ssm_ratio)
    if inner < 1:
        raise ConfigError(
            f'ssm_ratio must leave a channel to scan, got {ssm_ratio} of {dim} channels'
        )
    return inner


class ScanParameters(nn.Module):
    """Base of mixers that scan: Mamba's parameters for several directions.

    A subclass calls `reset_scan_parameters` at the end of its ``__init__``.

    Args:
        dim (int): Number of the mixer's output channels C.
        num_directions (int): Directions K.
        d_state (int): States N per channel.
        ssm_ratio (float): Number of scanned channels D as a multiple of C.
        dt_rank (int or str): Rank R of delta's projection; ``'auto'`` is
            ceil(C / 16).

    Attributes:
        inner_channels (int): Number of scanned channels D.

    Raises:
        ConfigError: If ``d_state`` or ``dt_rank`` is not one of those above, or if no
            channel is left to scan.
    """

    def __init__(
        self,
        dim: int,
        num_directions: int,
        d_state: int,
        ssm_ratio: float,
        dt_rank: int | str,
    ) -> None:
        super().__init__()
        inner = count_channels(dim, ssm_ratio, d_state)
        if dt_rank != 'auto' and (not isinstance(dt_rank, int) or dt_rank < 1):
            raise ConfigError(f"dt_rank must be an int from 1 or 'auto', got {dt_rank!r}")
        rank = math.ceil(dim / 16) if dt_rank == 'auto' else dt_rank
        self.inner_channels = inner
        self.d_state = d_state
        # the shapes of the released files: directions folded into channels
        self.x_proj_weight = nn.Parameter(
            torch.empty(num_directions * (rank + 2 * d_state), inner, 1)
        )
        self.dt_weight = nn.Parameter(torch.empty(num_directions, inner, rank))
        self.dt_bias = nn.Parameter(torch.empty(num_directions, inner))
        self.A_log = nn.Parameter(torch.empty(num_directions * inner, d_state))
        self.D = nn.Parameter(torch.empty(num_directions * inner))

    @torch.no_grad()
    def reset_scan_parameters(self, dt_min: float = 1e-3, dt_max: float = 0.1) -> None:
        """Draw the scan's parameters as Mamba does.

        Args:
            dt_min (float): Smallest initial delta. Default: 1e-3.
            dt_max (float): Largest initial delta. Default: 0.1.
        """
        # a linear layer's default: uniform within the inverse root of its fan-in
        bound = self.inner_channels**-0.5
        self.x_proj_weight.uniform_(-bound, bound)
        bound = self.dt_weight.shape[-1] ** -0.5
        self.dt_weight.uniform_(-bound, bound)
        draw_step_bias(self.dt_bias, dt_min, dt_max)
        states = torch.arange(1, self.d_state + 1, dtype=self.A_log.dtype)
        self.A_log.copy_(states.log().expand_as(self.A_log))
        self.D.fill_(1.0)


@torch.no_grad()
def draw_step_bias(bias: torch.Tensor, dt_min: float = 1e-3, dt_max: float = 0.1) -> None:
    """Draw the bias of step sizes anew, so that their softplus is log-uniform.

    Args:
        bias (Tensor): The parameter, changed in place.
        dt_min (float): Smallest step size. Default: 1e-3.
        dt_max (float): Largest step size. Default: 0.1.
    """
    dt = torch.empty_like(bias).uniform_(math.log(dt_min), math.log(dt_max)).exp()
    # the inverse of softplus, log(exp(dt) - 1)
    bias.copy_(dt + torch.log(-torch.expm1(-dt)))


def widen(parameter: torch.Tensor) -> torch.Tensor:
    """Return a scan's parameter in float32 at least, as the scans need it.

    A model is in 16 bits after ``model.half()``; autocast leaves its parameters as
    they are, and rounds less.

    Args:
        parameter (Tensor): Parameter of any floating dtype.

    Returns:
        Tensor: The same values; a 16-bit parameter in float32.
    """
    return parameter.float() if parameter.dtype in (torch.float16, torch.bfloat16) else parameter
