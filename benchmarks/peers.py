"""Other forms of the four-direction scan, each with ss2d's arguments.

- ``unfused``: the released pipeline in plain torch operations, around
  `sparx_mm.kernels.selective_scan`: the same technique of scanning, the map
  copied four ways;
- ``mamba_ssm``: the same pipeline around mamba-ssm's CUDA scan;
- ``sequential``: the same pipeline around a loop over positions in plain torch, which is
  what the released code runs on a CPU;
- ``two_level``: within lines, then over lines, in plain torch;
- ``log_depth``: pairs of positions, then over pairs, in plain torch;
- ``loop``: the definition.

Beside them, for orders other than along rows and columns, `permuted`.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sparx_mm.kernels import selective_scan, without_autocast
from sparx_mm.kernels.selective_scan.reference import selective_scan as selective_loop
from sparx_mm.kernels.softplus import softplus
from sparx_mm.kernels.ss2d import torch as ss2d_torch
from sparx_mm.kernels.ss2d.orders import ORDERS
from sparx_mm.kernels.ss2d.reference import ss2d as reference
from sparx_mm.kernels.testing import run_backend

NUM_DIRECTIONS = 4


def cross_scan(x):
    """Copy a map into a sequence for each direction, (B, D, H, W) -> (B, 4, D, L)."""
    batch, channels, height, width = x.shape
    sequences = x.new_empty(batch, NUM_DIRECTIONS, channels, height * width)
    sequences[:, 0].view(x.shape).copy_(x)
    columns = sequences[:, 1].view(batch, channels, width, height)
    columns.copy_(x.transpose(2, 3))
    sequences[:, 2:] = sequences[:, :2].flip(-1)
    return sequences


def cross_merge(sequences, height, width):
    """Sum four sequences on the map.

    Args:
        sequences (Tensor): Sequences of shape (B, 4, D, L).
        height (int): Height H of the map.
        width (int): Width W of the map.

    Returns:
        Tensor: Map of shape (B, D, H, W).
    """
    both = sequences[:, :2] + sequences[:, 2:].flip(-1)
    rows = both[:, 0].unflatten(-1, (height, width))
    columns = both[:, 1].unflatten(-1, (width, height))
    return rows + columns.transpose(2, 3)


# not left to autograd, because every copy would have a backward copy and a sum of
# its own; each is the other's adjoint
class _CrossScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.size = x.shape[2:]
        return cross_scan(x)

    @staticmethod
    def backward(ctx, grad):
        return cross_merge(grad, *ctx.size)


class _CrossMerge(torch.autograd.Function):
    @staticmethod
    def forward(ctx, sequences, height, width):
        return cross_merge(sequences, height, width)

    @staticmethod
    def backward(ctx, grad):
        return cross_scan(grad), None, None


def _low_rank(dt_B_C, rank, state):
    """Return dt, B and C of each direction, in its order: (B, 4, R or N, L)."""
    # (B, H, W, 4, R + 2N) -> (4, B, R + 2N, H, W)
    maps = dt_B_C.permute(3, 0, 4, 1, 2)
    rows = maps[0::2].flatten(3)
    columns = maps[1::2].transpose(3, 4).flatten(3)
    sequences = torch.stack([rows[0], columns[0], rows[1].flip(-1), columns[1].flip(-1)], 1)
    return sequences.split([rank, state, state], 2)


def unfused(scan, x, dt_B_C, dt_weight, dt_bias, A, D):
    """Copy the map four ways, make delta, scan (B, 4D, L) at once, merge.

    Args:
        scan (Callable): Selective scan of sequences with the arguments of
            `sparx_mm.kernels.selective_scan`.
        x, dt_B_C, dt_weight, dt_bias, A, D (Tensor): As for
            `sparx_mm.kernels.ss2d`.

    Returns:
        Tensor: Map of shape (B, D, H, W).
    """
    dt, B, C = _low_rank(dt_B_C, dt_weight.shape[-1], A.shape[-1])
    # in 16 bits under autocast, because the released code does so too
    delta = dt_weight.to(dt.dtype) @ dt
    y = scan(
        _CrossScan.apply(x).flatten(1, 2),
        delta.flatten(1, 2),
        A.flatten(0, 1),
        B,
        C,
        D.flatten(),
        delta_bias=dt_bias.flatten(),
        delta_softplus=True,
    )
    y = y.unflatten(1, (NUM_DIRECTIONS, -1))
    return _CrossMerge.apply(y, *x.shape[2:])


@functools.lru_cache(maxsize=16)
def _orders_and_places(orders, height, width, device):
    """List positions by place in each order, (L, 4) flat, and places by position."""
    table = ORDERS[orders](height, width, device)
    # of a row of D values in (L, 4, D)
    places = NUM_DIRECTIONS * table.argsort(1) + torch.arange(4, device=device)[:, None]
    return table.t().flatten(), places.t().flatten()


# each is the other's adjoint
class _Permute(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, order, places):
        ctx.indices = order, places
        return x.index_select(1, order)

    @staticmethod
    def backward(ctx, grad):
        return _bring_back(grad, ctx.indices[1]), None, None


class _BringBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx, copies, order, places):
        ctx.indices = order, places
        return _bring_back(copies, places)

    @staticmethod
    def backward(ctx, grad):
        return grad.index_select(1, ctx.indices[0]), None, None


def _bring_back(copies, places):
    """Sum four copies in the order of the map, (B, 4 L, D) -> (B, L, D)."""
    return copies.index_select(1, places).unflatten(1, (-1, NUM_DIRECTIONS)).sum(2)


def permuted(x, dt_B_C, dt_weight, dt_bias, A, D, orders='diagonal'):
    """Copy the map in the order of each direction, scan the copies at once, sum them.

    Positions are copied as rows of channels, which the scan of sequences reads as they lie.

    Args:
        x, dt_B_C, dt_weight, dt_bias, A, D, orders: As for `sparx_mm.kernels.ss2d`.

    Returns:
        Tensor: Map of shape (B, D, H, W).
    """
    height, width = x.shape[2:]
    indices = _orders_and_places(orders, height, width, x.device)
    # (B, D, H, W) -> (B, L, D) -> (B, 4 L, D) -> (B, L, 4 D)
    copies = _Permute.apply(x.permute(0, 2, 3, 1).flatten(1, 2), *indices)
    u = copies.unflatten(1, (-1, NUM_DIRECTIONS)).flatten(2)
    # (B, H, W, 4, R + 2N) -> (B, L, 4, R + 2N)
    low, table = dt_B_C.flatten(1, 2), indices[0].view(-1, NUM_DIRECTIONS)
    low = torch.stack([low[:, table[:, k], k] for k in range(NUM_DIRECTIONS)], 2)
    dt, B, C = low.split([dt_weight.shape[-1], A.shape[-1], A.shape[-1]], 3)
    delta = torch.einsum('blkr,kdr->blkd', dt, dt_weight.to(dt.dtype))
    y = selective_scan(
        u.transpose(1, 2),
        delta.flatten(2).transpose(1, 2),
        A.flatten(0, 1),
        B.permute(0, 2, 3, 1),
        C.permute(0, 2, 3, 1),
        D.flatten(),
        delta_bias=dt_bias.flatten(),
        delta_softplus=True,
    )
    # (B, 4 D, L) -> (B, L, 4 D) -> (B, 4 L, D)
    y = y.transpose(1, 2).unflatten(2, (NUM_DIRECTIONS, -1)).flatten(1, 2)
    # (B, L, D) -> (B, D, L) -> (B, D, H, W)
    return _BringBack.apply(y, *indices).transpose(1, 2).unflatten(2, (height, width))


def _mamba_scan(*args, **kwargs):
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    return selective_scan_fn(*args, **kwargs)


def _why_no_mamba(device):
    if device.type != 'cuda':
        return 'its scan runs on a GPU alone'
    try:
        import mamba_ssm.ops.selective_scan_interface  # noqa: F401
    except ImportError as error:
        return f'it does not import ({error})'
    return ''


def _in_full_precision(function):
    """Compute in the parameters' dtype, as ss2d does with 16-bit maps."""

    @without_autocast
    def run(x, dt_B_C, *parameters):
        dtype = parameters[0].dtype
        return function(x.to(dtype), dt_B_C.to(dtype), *parameters).to(x.dtype)

    return run


def linear_scan(a, b):
    """Scan h_t = a_t h_{t-1} + b_t along dimension 2, in logarithmic depth.

    Two successive positions are one position of a scan half as long, which gives
    the states after every second position; the others follow from these.

    Args:
        a (Tensor): Decays of shape (B, 4, L, ...).
        b (Tensor): Inputs, like a.

    Returns:
        Tensor: States h, like a.
    """
    pairs = a.shape[2] // 2
    if pairs == 0:
        return b
    a_first, a_second = a[:, :, 0::2], a[:, :, 1::2]
    b_first, b_second = b[:, :, 0::2], b[:, :, 1::2]
    second = linear_scan(
        a_second * a_first[:, :, :pairs], torch.addcmul(b_second, a_second, b_first[:, :, :pairs])
    )
    later = torch.addcmul(
        b_first[:, :, 1:], a_first[:, :, 1:], second[:, :, : a_first.shape[2] - 1]
    )
    first = torch.cat([b_first[:, :, :1], later], 2)
    h = torch.stack([first[:, :, :pairs], second], 3).flatten(2, 3)
    # of an odd number of positions, the last has no partner
    return torch.cat([h, first[:, :, pairs:]], 2)


def _log_depth(x, dt_B_C, dt_weight, dt_bias, A, D):
    rank, state = dt_weight.shape[-1], A.shape[-1]
    # channels last, so that every slice of positions is a run of channels
    dt, B, C = (t.transpose(2, 3) for t in _low_rank(dt_B_C, rank, state))
    u = _CrossScan.apply(x).transpose(2, 3).contiguous()
    # (B, 4, L, R) @ (4, R, D) -> (B, 4, L, D)
    z = dt @ dt_weight.transpose(1, 2) + dt_bias[:, None]
    delta = softplus(z)
    # (B, 4, L, D, N)
    a = torch.exp(delta.unsqueeze(-1) * A[:, None])
    h = linear_scan(a, (delta * u).unsqueeze(-1) * B.unsqueeze(3))
    y = (h * C.unsqueeze(3)).sum(-1) + D[:, None] * u
    return _CrossMerge.apply(y.transpose(2, 3), *x.shape[2:])


two_level = _in_full_precision(functools.partial(run_backend, ss2d_torch))
log_depth = _in_full_precision(_log_depth)


@dataclass(frozen=True)
class Form:
    """Way to compute the scan.

    Args:
        run (Callable): Function with ss2d's arguments.
        forward_length (float): Length of the longest sequence that forward is timed
            at. Default: no limit.
        backward_length (float): Likewise, for forward and backward.
        repeats (int, optional): Greatest number of timed calls. Default: as asked
            for on the command line.
        contiguous (bool): Time it on contiguous maps on a GPU, as the released network
            leaves them there. Default: False, on channels-last maps.
        why_not (Callable): Function from a device to the reason why the form cannot
            run there, '' if it can. Default: it can.
    """

    run: Callable
    forward_length: float = math.inf
    backward_length: float = math.inf
    repeats: int | None = None
    contiguous: bool = False
    why_not: Callable = lambda device: ''

    def takes(self, length, backward=False):
        """Return True if sequences of a length do not take too long.

        Args:
            length (int): Length of the sequences.
            backward (bool): Include the backward pass. Default: False.
        """
        longest = self.backward_length if backward else self.forward_length
        return length <= longest


# lengths and repeats of loops: so short, because their backward is quadratic in the length
_LOOP = dict(forward_length=56**2, backward_length=14**2, repeats=3)

FORMS = {
    'unfused': Form(functools.partial(unfused, selective_scan), contiguous=True),
    'mamba_ssm': Form(
        functools.partial(unfused, _mamba_scan), contiguous=True, why_not=_why_no_mamba
    ),
    'sequential': Form(functools.partial(unfused, selective_loop), **_LOOP),
    'two_level': Form(two_level),
    'log_depth': Form(log_depth),
    'loop': Form(reference, **_LOOP),
}


def choose(names, device):
    """Choose the forms that run on a device, and say why not the others.

    Args:
        names (Sequence[str]): Keys of ``FORMS``.
        device (torch.device): Device to run on.

    Returns:
        tuple[dict[str, Form], dict[str, str]]: Forms by name, and for every name the
        reason why it cannot run, '' if it can.
    """
    reasons = {name: FORMS[name].why_not(device) for name in names}
    return {n: FORMS[n] for n in names if not reasons[n]}, reasons
