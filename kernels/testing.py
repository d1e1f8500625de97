"""Random arguments for the operators, to test and time them with."""

import torch


def map_arguments(batch, channels, height, width, rank, state, dtype=torch.float64, device='cpu'):
    """Arguments of :func:`sparx_mm.kernels.ss2d`.

    Args:
        batch, channels, height, width (int): Shape of the map.
        rank (int): Rank R of the step sizes.
        state (int): States N.
        dtype (torch.dtype): Of map and projection; the parameters are float32
            at least. Values are those of a float32 generator.
        device (torch.device or str): Where they lie.

    Returns:
        list[Tensor]: x in the contiguous format, p, dt_weight, dt_bias, A, D.
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
    batch, channels, length, state, groups=None, dtype=torch.float64, device='cpu'
):
    """Arguments of :func:`sparx_mm.kernels.selective_scan`.

    Args:
        batch, channels, length (int): Shape of the sequences.
        state (int): States N.
        groups (int, optional): Groups of channels. Default: B and C have no
            dimension for them.
        dtype (torch.dtype): Of u, delta, B and C; as for
            :func:`map_arguments`.
        device (torch.device or str): Where they lie.

    Returns:
        list[Tensor]: u, delta, A, B, C, D and delta_bias. The step sizes are
        for a softplus: of both signs.
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


def _cast(dtype, inputs, parameters):
    wide = torch.promote_types(dtype, torch.float32)
    return [
        *(t.to(dtype) for t in inputs),
        *(t.to(wide) for t in parameters),
    ]
