"""The selective scan on a GPU; imported only where Triton is installed."""

import torch

from .._triton import launch


def states_shape(u: torch.Tensor, A: torch.Tensor) -> tuple[int, ...]:
    """Return the shape of the states that forward keeps for backward.

    Args:
        u (Tensor): Inputs of shape (B, D, L).
        A (Tensor): Decay rates of shape (D, N).

    Returns:
        tuple[int, ...]: (B, 1, ceil(L / STATE_STRIDE), N, D).
    """
    return launch.states_shape(u.shape[0], u.shape[2], A[None])


def _arguments(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    delta_bias: torch.Tensor,
    delta_softplus: bool,
) -> tuple:
    """Lay the inputs out as `_triton.launch.forward` takes them: one direction."""
    # (B, D, L) -> (B, L, D)
    u, delta = (t.transpose(1, 2).contiguous() for t in (u, delta))
    # (B, G, N, L) -> (B, L, G, 2N)
    dt_B_C = torch.cat([B, C], 2).permute(0, 3, 1, 2).contiguous()
    # a rank of 0
    weight = A.new_empty(1, 0, A.shape[0])
    parameters = (t[None].contiguous() for t in (delta_bias, A, D))
    return (u, delta, dt_B_C, weight, *parameters, (1, u.shape[1]), delta_softplus)


def forward(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    delta_bias: torch.Tensor,
    delta_softplus: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scan sequences in float32 states.

    Args:
        u, delta, A, D, delta_bias, delta_softplus: As for
            `sparx_mm.kernels.selective_scan`, none optional.
        B (Tensor): Input weights of shape (B, G, N, L).
        C (Tensor): Output weights of shape (B, G, N, L).

    Returns:
        tuple[Tensor, Tensor]: y of shape (B, D, L), in any strides, and the kept
        states.
    """
    y, states = launch.forward(*_arguments(u, delta, A, B, C, D, delta_bias, delta_softplus))
    return y.transpose(1, 2), states


def backward(
    dy: torch.Tensor,
    states: torch.Tensor,
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    delta_bias: torch.Tensor,
    delta_softplus: bool,
) -> tuple[torch.Tensor, ...]:
    """Compute the gradients of `forward`.

    Args:
        dy (Tensor): Gradient of y, of shape (B, D, L).
        states (Tensor): Kept states from `forward`.
        u, delta, A, B, C, D, delta_bias, delta_softplus: As given to `forward`.

    Returns:
        tuple[Tensor, ...]: Gradients of u, delta, A, B, C, D and delta_bias, of
        their shapes.
    """
    arguments = _arguments(u, delta, A, B, C, D, delta_bias, delta_softplus)
    du, ddelta, dB_dC, dA, dbias, dD = launch.backward(
        dy.transpose(1, 2).contiguous(), states, *arguments
    )
    # (B, L, G, 2N) -> (B, G, N, L) twice; cloned, because an operator's results may
    # not share their memory
    dB, dC = (t.clone() for t in dB_dC.permute(0, 2, 3, 1).chunk(2, 2))
    return (du.transpose(1, 2), ddelta[0].transpose(1, 2), dA[0], dB, dC, dD[0], dbias[0])
