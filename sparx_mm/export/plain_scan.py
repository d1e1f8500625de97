"""The four-direction scan in plain torch operations of any size, without a loop at run time.

For runtimes whose loops are slow or wrong. A scan over P positions takes eleven steps, each
over twice the positions of the last one, so that up to 2048 positions of a line are read:
images of 8192 pixels. Nothing is divided by a decay.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from ..kernels.softplus import softplus
from ..mixers import SS2D

STEPS = 11


def ss2d_by_doubling(
    x: torch.Tensor,
    dt_B_C: torch.Tensor,
    dt_weight: torch.Tensor,
    dt_bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
) -> torch.Tensor:
    """Compute `sparx_mm.kernels.ss2d`.

    Args:
        x, dt_B_C, dt_weight, dt_bias, A, D (Tensor): As for that function; sides of the
            map up to 2048.

    Returns:
        Tensor: Map like x.
    """
    u = x.to(A.dtype)
    y = u * D.sum(0).view(-1, 1, 1)
    for k in range(4):
        # columns are the rows of the map with its axes exchanged
        by_column, reverse = k % 2, k >= 2
        order = (2, 0, 3, 1) if by_column else (3, 0, 2, 1)
        # (B, D, H, W) -> (P, B, L, D), (B, H, W, K) -> (P, B, L, K)
        own = u.permute(order)
        p = dt_B_C[:, :, :, k].to(A.dtype)
        p = p.permute(1, 0, 2, 3) if by_column else p.permute(2, 0, 1, 3)
        if reverse:
            own, p = own.flip(0, 2), p.flip(0, 2)
        sides = x.shape[2:] if by_column else (x.shape[3], x.shape[2])
        out = _scan(own, p, dt_weight[k], dt_bias[k], A[k], sides)
        if reverse:
            out = out.flip(0, 2)
        y = y + out.permute((1, 3, 0, 2) if by_column else (1, 3, 2, 0))
    return y.to(x.dtype)


def _scan(u, p, weight, bias, A, sides):
    """Scan L lines of P positions: u (P, B, L, D), p (P, B, L, R + 2N), A (D, N)."""
    # sides, which are P and L, because an exporter takes those of computed maps for constants
    dt, B, C = p.split([weight.shape[1], A.shape[1], A.shape[1]], dim=-1)
    delta = softplus(dt @ weight.t() + bias)
    # (P, B, L, N, D)
    decays = (delta.unsqueeze(3) * A.t()).exp()
    h, decays = _prefix(decays, (delta * u).unsqueeze(3) * B.unsqueeze(4), sides[0])
    # of whole lines: (B, L, N, D) -> (L, B, N, D)
    states, _ = _prefix(decays[-1].transpose(0, 1), h[-1].transpose(0, 1), sides[1])
    entry = _later(states, 1, sides[1]).transpose(0, 1)
    return ((h + decays * entry) * C.unsqueeze(4)).sum(3)


def _prefix(a, b, count):
    """Scan h = a h_before + b along axis 0; return the states and the products of a."""
    for step in range(STEPS):
        before, decay = _later(b, 2**step, count), _later(a, 2**step, count, 1.0)
        b, a = b + a * before, a * decay
    return b, a


def _later(x, steps, count, value=0.0):
    """Move the ``count`` positions of axis 0 by ``steps``, and begin with ``value``."""
    return F.pad(x, [0, 0] * (x.dim() - 1) + [steps, 0], value=value)[:count]


@contextmanager
def plain_scans(module: nn.Module) -> Iterator[None]:
    """Compute the scans of a network by `ss2d_by_doubling` within the block.

    Args:
        module (nn.Module): The network.
    """
    mixers = [mixer for mixer in module.modules() if isinstance(mixer, SS2D)]
    for mixer in mixers:
        mixer.scan = ss2d_by_doubling
    try:
        yield
    finally:
        for mixer in mixers:
            del mixer.scan
