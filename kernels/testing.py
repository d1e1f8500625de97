"""Random arguments for the operators and single backends, to test and time them."""

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import torch


def map_arguments(
    batch: int,
    channels: int,
    height: int,
    width: int,
    rank: int,
    state: int,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = 'cpu',
) -> list[torch.Tensor]:
    """Draw arguments of `sparx_mm.kernels.ss2d`.

    Args:
        batch, channels, height, width (int): Shape of the map.
        rank (int): Rank R of the step sizes.
        state (int): Number of states N.
        dtype (torch.dtype): Dtype of map and projection; the parameters are float32
            at least. The values are drawn in float32. Default: float64.
        device (torch.device or str): Device of the tensors. Default: ``'cpu'``.

    Returns:
        list[Tensor]: x in the contiguous format, dt_B_C, dt_weight, dt_bias, A, D.
    """
    inputs = (
        torch.randn(batch, channels, height, width, device=device),
        torch.randn(batch, height, width, 4, rank + 2 * state, device=device),
    )
    parameters = (
        torch.randn(4, channels, rank, device=device) * rank**-0.5,
        torch.randn(4, channels, device=device) - 1,
        -torch.rand(4, channels, state, device=device) * 4 - 0.1,
        torch.randn(4, channels, device=device),
    )
    return _cast(dtype, inputs, parameters)


def sequence_arguments(
    batch: int,
    channels: int,
    length: int,
    state: int,
    groups: int | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = 'cpu',
) -> list[torch.Tensor]:
    """Draw arguments of `sparx_mm.kernels.selective_scan`.

    Args:
        batch, channels, length (int): Shape of the sequences.
        state (int): Number of states N.
        groups (int, optional): Number of groups of channels. Default: B and C have
            no dimension for them.
        dtype (torch.dtype): Dtype of u, delta, B and C, as for `map_arguments`.
            Default: float64.
        device (torch.device or str): Device of the tensors. Default: ``'cpu'``.

    Returns:
        list[Tensor]: u, delta, A, B, C, D and delta_bias. The step sizes are of both
        signs, for softplus.
    """
    low = (batch, state, length) if groups is None else (batch, groups, state, length)
    u, delta = torch.randn(2, batch, channels, length, device=device)
    B, C = torch.randn(2, *low, device=device)
    parameters = (
        -torch.rand(channels, state, device=device) * 4 - 0.1,
        torch.randn(channels, device=device),
        torch.randn(channels, device=device) - 1,
    )
    u, delta, B, C, A, D, bias = _cast(dtype, (u, delta, B, C), parameters)
    return [u, delta, A, B, C, D, bias]


def norm_arguments(
    batch: int,
    channels: int,
    height: int,
    width: int,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = 'cpu',
) -> list[torch.Tensor]:
    """Draw the tensors of `sparx_mm.kernels.group_norm` and `layer_norm`.

    Args:
        batch, channels, height, width (int): Shape of the map.
        dtype (torch.dtype): Dtype of the map, as for `map_arguments`. Default: float64.
        device (torch.device or str): Device of the tensors. Default: ``'cpu'``.

    Returns:
        list[Tensor]: x, channels-last, with a mean of 3; weight and bias.
    """
    x = torch.randn(batch, height, width, channels, device=device) + 3
    # (B, H, W, C) -> (B, C, H, W)
    return _cast(dtype, [x.permute(0, 3, 1, 2)], torch.randn(2, channels, device=device))


def depthwise_arguments(
    batch: int,
    channels: int,
    height: int,
    width: int,
    side: int,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = 'cpu',
) -> list[torch.Tensor]:
    """Draw the tensors of `sparx_mm.kernels.depthwise_conv`.

    Args:
        batch, channels, height, width (int): Shape of the map.
        side (int): Side K of the kernel.
        dtype (torch.dtype): Dtype of the map, as for `map_arguments`. Default: float64.
        device (torch.device or str): Device of the tensors. Default: ``'cpu'``.

    Returns:
        list[Tensor]: x, channels-last; weight and bias.
    """
    x = torch.randn(batch, height, width, channels, device=device)
    weight = torch.randn(channels, 1, side, side, device=device) / side
    # (B, H, W, C) -> (B, C, H, W)
    return _cast(dtype, [x.permute(0, 3, 1, 2)], [weight, torch.randn(channels, device=device)])


def _cast(
    dtype: torch.dtype, inputs: Iterable[torch.Tensor], parameters: Iterable[torch.Tensor]
) -> list[torch.Tensor]:
    wide = torch.promote_types(dtype, torch.float32)
    return [
        *(t.to(dtype) for t in inputs),
        *(t.to(wide) for t in parameters),
    ]


class _RunBackend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, backend: ModuleType, flags: list[bool | str], *tensors: torch.Tensor
    ) -> torch.Tensor:
        y, states = backend.forward(*tensors, *flags)
        ctx.backend, ctx.flags = backend, flags
        ctx.save_for_backward(states, *tensors)
        return y

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return None, None, *ctx.backend.backward(dy, *ctx.saved_tensors, *ctx.flags)


def run_backend(backend: ModuleType, *inputs: torch.Tensor | bool | str) -> torch.Tensor:
    """Run an operator with one of its backends, whatever the environment asks for.

    Args:
        backend (module): Implementation, such as `sparx_mm.kernels.ss2d.torch`.
        inputs (Tensor, bool or str): All arguments of its ``forward``, in order, of one
            floating dtype.

    Returns:
        Tensor: Output of the operator, with gradients by the same backend.
    """
    tensors = [t for t in inputs if isinstance(t, torch.Tensor)]
    return _RunBackend.apply(backend, list(inputs[len(tensors) :]), *tensors)
