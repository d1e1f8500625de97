"""The four-direction scan on a GPU; imported only where Triton is."""

import torch

from .._triton import launch


def states_shape(x, A):
    """Shape of the states that forward keeps for backward."""
    batch, _, height, width = x.shape
    return launch.states_shape(batch, height * width, A)


def _flat(x):
    """(B, D, H, W) -> (B, H W, D), a view if x is channels-last."""
    return x.permute(0, 2, 3, 1).flatten(1, 2).contiguous()


def _arguments(x, p, dt_weight, dt_bias, A, D):
    """As :mod:`sparx_mm.kernels._triton.launch` takes them."""
    flat = _flat(x)
    parameters = (t.contiguous() for t in (dt_weight.transpose(1, 2), dt_bias, A, D))
    # no step sizes are read where there is a rank
    return (flat, flat, p.flatten(1, 2).contiguous(), *parameters, tuple(x.shape[2:]), True)


def forward(x, p, dt_weight, dt_bias, A, D):
    """The scan; see :func:`sparx_mm.kernels.ss2d`.

    Returns:
        tuple[Tensor, Tensor]: y, channels-last, and the kept states.
    """
    y, states = launch.forward(*_arguments(x, p, dt_weight, dt_bias, A, D))
    return y.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2), states


def backward(dy, states, x, p, dt_weight, dt_bias, A, D):
    """Gradients of x, p, dt_weight, dt_bias, A and D."""
    rank = dt_weight.shape[2]
    arguments = _arguments(x, p, dt_weight, dt_bias, A, D)
    _, _, low, weight, *_ = arguments
    dx, dz, dgains, dA, dbias, dD = launch.backward(_flat(dy), states, *arguments)
    # (4, B, L, D) -> (4, B * L, D), (B, L, 4, R) -> (4, B * L, R)
    dz = dz.flatten(1, 2)
    dt = low[..., :rank].flatten(0, 1).transpose(0, 1)
    dweight = _product(dz.transpose(1, 2), dt.to(dz.dtype))
    ddt = _product(dz, weight.transpose(1, 2).to(dz.dtype))
    dp = p.new_empty(p.shape)
    dp[..., :rank] = ddt.view(4, *p.shape[:3], rank).permute(1, 2, 3, 0, 4)
    dp[..., rank:] = dgains.view(*p.shape[:4], -1)
    dx = dx.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
    return dx, dp, dweight, dbias, dA, dD


def _product(a, b):
    """Batched a @ b in float32: 16 bits are too few for sums over a map.

    float32 factors follow torch's setting for products, TF32 too.
    """
    if a.dtype == torch.float32 or not a.is_cuda or torch.version.hip:
        return a.float() @ b.float()
    return torch.bmm(a, b, out_dtype=torch.float32)
