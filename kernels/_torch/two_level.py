"""The selective scan in plain torch: a scan within rows, then over rows.

A loop over all L steps costs L small operations, and its autograd is
quadratic. Here the sequence is a map of rows: every row is reduced to one
decay and one total (all rows at a time), the rows are chained, and the rows
are run again from their true entry states: about 2 W + H operations for
H rows of W steps. Nothing is divided by a decay or summed in log space, which
overflows for quite ordinary step sizes.

The functions are pure and run on any device and floating dtype.
"""

import torch


def _linear_scan(decays, inputs, chunk_dim, reverse, entry=None):
    """h_t = decay_t * h_{t-1} + input_t, over steps within chunks.

    Args:
        decays (list[Tensor]): One tensor for each step in a chunk, in scan
            order; each holds that step of all the chunks.
        inputs (list[Tensor]): Likewise.
        chunk_dim (int): Dimension of the chunks in these tensors.
        reverse (bool): Whether the last chunk is scanned first.
        entry (Tensor, optional): State before each chunk, where it is known.

    Returns:
        tuple[list[Tensor], Tensor]: States after each step, in scan order,
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


def _steps(tensor, step_dim, reverse):
    steps = list(tensor.unbind(step_dim))
    return steps[::-1] if reverse else steps


def _stack(steps, step_dim, reverse):
    return torch.stack(steps[::-1] if reverse else steps, step_dim)


def scan_forward(u, delta, A, B, C, D, column=False, reverse=False):
    """Selective scan of maps along their rows or columns.

    h = exp(delta A) h_prev + delta B u and y = C . h + D u.

    Args:
        u (Tensor): Input, (batch, H, W, G, Dg): Dg channels in each of G
            groups that share B and C.
        delta (Tensor): Step sizes, positive, like u.
        A (Tensor): (G, Dg, N), negative.
        B (Tensor): (batch, H, W, G, N).
        C (Tensor): Like B.
        D (Tensor): (G, Dg).
        column (bool): Scan column after column in place of row after row.
        reverse (bool): Scan from the last element to the first.

    Returns:
        tuple[Tensor, Tensor]: y like u, and the states at the entry of each
        row (column), (batch, H or W, G, Dg, N).
    """
    step_dim = 1 if column else 2
    a = torch.exp(delta.unsqueeze(-1) * A)
    b = (delta * u).unsqueeze(-1) * B.unsqueeze(-2)
    # without its step dimension the map keeps one spatial dimension, at 1
    h, entry = _linear_scan(_steps(a, step_dim, reverse), _steps(b, step_dim, reverse), 1, reverse)
    y = (_stack(h, step_dim, reverse) * C.unsqueeze(-2)).sum(-1)
    return y + D * u, entry


def scan_backward(dy, entry, u, delta, A, B, C, D, column=False, reverse=False):
    """Gradients of :func:`scan_forward`.

    The gradient of the state obeys the same recurrence from the other end,
    g = C dy + a_next g_next, and is scanned in the same way.

    Args:
        dy (Tensor): Gradient of y.
        entry (Tensor): The second result of :func:`scan_forward`.
        u, delta, A, B, C, D, column, reverse: As given to it.

    Returns:
        tuple[Tensor, ...]: Gradients of u, delta, A, B, C and D.
    """
    step_dim = 1 if column else 2
    a = torch.exp(delta.unsqueeze(-1) * A)
    du_in = (delta * u).unsqueeze(-1)
    a_steps = _steps(a, step_dim, reverse)
    h_steps, _ = _linear_scan(
        a_steps, _steps(du_in * B.unsqueeze(-2), step_dim, reverse), 1, reverse, entry
    )
    h_before = _stack([entry] + h_steps[:-1], step_dim, reverse)

    # the decay after a chunk's last step is that of the next chunk's first
    first = a_steps[0]
    ahead = torch.zeros_like(first)
    if reverse:
        ahead[:, 1:] = first[:, :-1]
    else:
        ahead[:, :-1] = first[:, 1:]
    g = dy.unsqueeze(-1) * C.unsqueeze(-2)
    g_steps, _ = _linear_scan(
        [ahead] + a_steps[:0:-1], _steps(g, step_dim, not reverse), 1, not reverse
    )
    g = _stack(g_steps, step_dim, not reverse)

    along_a = g * a * h_before
    along_b = (g * B.unsqueeze(-2)).sum(-1)
    h = a * h_before + du_in * B.unsqueeze(-2)
    du = delta * along_b
    ddelta = (along_a * A).sum(-1) + u * along_b
    dA = (along_a * delta.unsqueeze(-1)).sum((0, 1, 2))
    dB = (g * du_in).sum(-2)
    dC = (h * dy.unsqueeze(-1)).sum(-2)
    return du + D * dy, ddelta, dA, dB, dC, (dy * u).sum((0, 1, 2))
