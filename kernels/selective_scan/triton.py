"""The selective scan on a GPU; imported only where Triton is."""

import torch

from .._triton import launch


def states_shape(u, A):
    """Shape of the states that forward keeps for backward."""
    return launch.states_shape(u.shape[0], u.shape[2], A[None])


def _arguments(u, delta, A, B, C, D, delta_bias, delta_softplus):
    """As :mod:`sparx_mm.kernels._triton.launch` takes them: one direction."""
    u, delta = (t.transpose(1, 2).contiguous() for t in (u, delta))
    # (B, G, N, L) -> (B, L, G, 2N)
    p = torch.cat([B, C], 2).permute(0, 3, 1, 2).contiguous()
    # a rank of 0
    weight = A.new_empty(1, 0, A.shape[0])
    parameters = (t[None].contiguous() for t in (delta_bias, A, D))
    return (u, delta, p, weight, *parameters, (1, u.shape[1]), delta_softplus)


def forward(u, delta, A, B, C, D, delta_bias, delta_softplus):
    """The scan; see :func:`sparx_mm.kernels.selective_scan`.

    Returns:
        tuple[Tensor, Tensor]: y and the kept states.
    """
    y, states = launch.forward(*_arguments(u, delta, A, B, C, D, delta_bias, delta_softplus))
    return y.transpose(1, 2), states


def backward(dy, states, u, delta, A, B, C, D, delta_bias, delta_softplus):
    """Gradients of u, delta, A, B, C, D and delta_bias."""
    arguments = _arguments(u, delta, A, B, C, D, delta_bias, delta_softplus)
    du, ddelta, dgains, dA, dbias, dD = launch.backward(
        dy.transpose(1, 2).contiguous(), states, *arguments
    )
    # (B, L, G, 2N) -> (B, G, N, L) twice; an operator's results may not share
    # their memory
    dB, dC = (t.clone() for t in dgains.permute(0, 2, 3, 1).chunk(2, 2))
    return (du.transpose(1, 2), ddelta[0].transpose(1, 2), dA[0], dB, dC, dD[0], dbias[0])
