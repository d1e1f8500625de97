"""The selective scan in plain torch: a scan within chunks, then over chunks.

A loop over all L positions costs L small operations, and its autograd is
quadratic. Here the sequence is a map whose lines are the chunks: every chunk is
reduced to one decay and one total (all chunks at a time), the chunks are chained,
and they are scanned again from their true entry states: about 2 W + H operations
for H chunks of W positions. Nothing is divided by a decay or summed in log space,
which overflows for quite ordinary step sizes.

The functions are pure and run on any device and floating dtype.
"""

from collections.abc import Sequence

import torch


def _linear_scan(
    decays: Sequence[torch.Tensor],
    inputs: Sequence[torch.Tensor],
    chunk_dim: int,
    reverse: bool,
    entry: torch.Tensor | None = None,
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Scan h_t = decay_t * h_{t-1} + input_t over the positions within chunks.

    Args:
        decays (Sequence[Tensor]): One tensor for each position in a chunk, in scan
            order, with the values of all chunks.
        inputs (Sequence[Tensor]): Likewise.
        chunk_dim (int): Dimension of the chunks in these tensors.
        reverse (bool): Scan the last chunk first.
        entry (Tensor, optional): State before each chunk. Default: computed here.

    Returns:
        tuple[list[Tensor], Tensor]: States after each position, in scan order,
        and the state before each chunk.
    """
    if entry is None:
        decay, total = decays[0], inputs[0]
        for a, b in zip(decays[1:], inputs[1:]):
            decay, total = decay * a, torch.addcmul(b, a, total)
        chunks = list(zip(decay.unbind(chunk_dim), total.unbind(chunk_dim)))
        states = [torch.zeros_like(chunks[0][1])]
        for a, b in chunks[:0:-1] if reverse else chunks[:-1]:
            states.append(torch.addcmul(b, a, states[-1]))
        entry = torch.stack(states[::-1] if reverse else states, chunk_dim)
    out, h = [], entry
    for a, b in zip(decays, inputs):
        h = torch.addcmul(b, a, h)
        out.append(h)
    return out, entry


def _unbind(tensor: torch.Tensor, position_dim: int, reverse: bool) -> list[torch.Tensor]:
    """Split a map into its positions within chunks, in scan order."""
    positions = list(tensor.unbind(position_dim))
    return positions[::-1] if reverse else positions


def _stack(positions: Sequence[torch.Tensor], position_dim: int, reverse: bool) -> torch.Tensor:
    """Join what `_unbind` has split."""
    return torch.stack(positions[::-1] if reverse else positions, position_dim)


def scan_forward(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    column: bool = False,
    reverse: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scan maps selectively along their rows or columns.

    h = exp(delta A) h_prev + delta B u and y = C . h + D u.

    Args:
        u (Tensor): Inputs of shape (B, H, W, G, Dg): Dg channels in each of G
            groups that share B and C.
        delta (Tensor): Step sizes, positive, like u.
        A (Tensor): Decay rates, negative, of shape (G, Dg, N).
        B (Tensor): Input weights of shape (B, H, W, G, N).
        C (Tensor): Output weights, like B.
        D (Tensor): Weight of the direct path, of shape (G, Dg).
        column (bool): Scan column after column instead of row after row.
            Default: False.
        reverse (bool): Scan from the last position to the first. Default: False.

    Returns:
        tuple[Tensor, Tensor]: y like u, and the states at the entry of each chunk,
        a row or a column, of shape (B, H or W, G, Dg, N).
    """
    position_dim = 1 if column else 2
    a = torch.exp(delta.unsqueeze(-1) * A)
    b = (delta * u).unsqueeze(-1) * B.unsqueeze(-2)
    # without its dimension of positions the map keeps one spatial dimension, at 1
    h, entry = _linear_scan(
        _unbind(a, position_dim, reverse), _unbind(b, position_dim, reverse), 1, reverse
    )
    y = (_stack(h, position_dim, reverse) * C.unsqueeze(-2)).sum(-1)
    return y + D * u, entry


def scan_backward(
    dy: torch.Tensor,
    entry: torch.Tensor,
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    column: bool = False,
    reverse: bool = False,
) -> tuple[torch.Tensor, ...]:
    """Compute the gradients of `scan_forward`.

    The gradient of the state obeys the same recurrence from the other end,
    g = C dy + a_next g_next, and is scanned in the same way.

    Args:
        dy (Tensor): Gradient of y, like u.
        entry (Tensor): States at the entry of each chunk, from `scan_forward`.
        u, delta, A, B, C, D, column, reverse: As given to `scan_forward`.

    Returns:
        tuple[Tensor, ...]: Gradients of u, delta, A, B, C and D, of their shapes.
    """
    position_dim = 1 if column else 2
    a = torch.exp(delta.unsqueeze(-1) * A)
    delta_u = (delta * u).unsqueeze(-1)
    decays = _unbind(a, position_dim, reverse)
    inputs = _unbind(delta_u * B.unsqueeze(-2), position_dim, reverse)
    h_after, _ = _linear_scan(decays, inputs, 1, reverse, entry)
    h_before = _stack([entry] + h_after[:-1], position_dim, reverse)

    # the decay after a chunk's last position is that of the next chunk's first
    first = decays[0]
    ahead = torch.zeros_like(first)
    if reverse:
        ahead[:, 1:] = first[:, :-1]
    else:
        ahead[:, :-1] = first[:, 1:]
    g = dy.unsqueeze(-1) * C.unsqueeze(-2)
    g, _ = _linear_scan(
        [ahead] + decays[:0:-1], _unbind(g, position_dim, not reverse), 1, not reverse
    )
    g = _stack(g, position_dim, not reverse)

    along_a = g * a * h_before
    along_b = (g * B.unsqueeze(-2)).sum(-1)
    h = a * h_before + delta_u * B.unsqueeze(-2)
    du = delta * along_b
    ddelta = (along_a * A).sum(-1) + u * along_b
    dA = (along_a * delta.unsqueeze(-1)).sum((0, 1, 2))
    dB = (g * delta_u).sum(-2)
    dC = (h * dy.unsqueeze(-1)).sum(-2)
    return du + D * dy, ddelta, dA, dB, dC, (dy * u).sum((0, 1, 2))
