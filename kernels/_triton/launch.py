"""Launching the Triton kernels: how a scan is shared out, and its buffers.

Imported only where Triton is.
"""

import functools
from typing import NamedTuple

import torch

from . import kernels

# positions from one kept state to the next, so 4 N / 16 bytes are kept for
# each direction and element of x; a multiple of the rows below
KEPT = 16
# positions that a program takes at a time, by its channels: values of as many
# rows are in registers together
_ROWS = {32: 4, 64: 4, 128: 2}
_ROWS_BACKWARD = 8
# programs, of one warp each, that keep a multiprocessor busy
_PROGRAMS = 8
# a chunk is walked twice, so a short one does not pay
_SHORTEST_CHUNK = 4 * KEPT
_MERGED = 1024


class Plan(NamedTuple):
    """How a scan is shared out among programs.

    Attributes:
        block (int): Channels to a program.
        splits (int): Programs that the directions are shared out among; each
            sums over its own.
        chunk (int): Positions to a program, all or a multiple of KEPT.
    """

    block: int
    splits: int
    chunk: int


def make_plan(batch, length, channels, groups, directions, processors, widest):
    """Share out a scan so that it fills a GPU, with as little as need be.

    Fewer splits leave fewer partial sums in memory, and only chunks are
    walked twice; so directions are split before positions are.

    Args:
        batch (int): Images.
        length (int): Positions.
        channels (int): Channels of a group.
        groups (int): Groups of channels.
        directions (int): Directions.
        processors (int): Multiprocessors of the GPU.
        widest (int): Channels to a program at most, a key of ``_ROWS``.

    Returns:
        Plan: The same for the same arguments.
    """
    # the widest block that leaves at most a fifth of its lanes idle
    block = next(
        (
            size
            for size in sorted(_ROWS, reverse=True)
            if size <= widest and -channels % size * 4 <= channels
        ),
        min(_ROWS),
    )
    programs = batch * groups * -(-channels // block)
    wanted = _PROGRAMS * processors
    for splits in range(1, directions + 1):
        if directions % splits == 0 and programs * splits >= wanted:
            return Plan(block, splits, length)
    chunk = -(-length * programs * directions // wanted)
    chunk = -(-max(chunk, _SHORTEST_CHUNK) // KEPT) * KEPT
    # two chunks are as much work for each program as one
    return Plan(block, directions, chunk if chunk * 2 < length else length)


@functools.cache
def _processors(device):
    if device.type != 'cuda':
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


class _Launch:
    """The sizes of a pass over a map, and the launches made of them.

    Args:
        x, delta, p, weight, bias, A, size, softplus: As for
            :func:`forward`.
        widest (int): Channels to a program at most.
    """

    def __init__(self, x, delta, p, weight, bias, A, size, softplus, widest):
        self.inputs = delta, p, weight, bias, A
        self.softplus = softplus
        self.batch, length, channels = x.shape
        self.directions, _, self.state = A.shape
        self.groups = p.shape[2] // self.directions
        self.rank = p.shape[3] - 2 * self.state
        self.plan = make_plan(
            self.batch,
            length,
            channels // self.groups,
            self.groups,
            self.directions,
            _processors(x.device),
            widest,
        )
        self.chunks = -(-length // self.plan.chunk)
        self.blocks = -(-channels // self.groups // self.plan.block)
        self.programs = self.batch * self.groups * self.blocks
        self.sizes = (*size, self.blocks, self.plan.chunk)
        self.channels = channels
        # one partial sum of a map for each split
        self.partial = x.new_empty(self.plan.splits, *x.shape, dtype=torch.float32)

    def chain(self, x, totals, slot_chunk, backward):
        """Write what each chunk starts from; see ``chunk_kernel``.

        Args:
            x (Tensor): The map, or dy.
            totals (Tensor): (B, K, slots, N, D), written.
            slot_chunk (int): Slots from one chunk to the next.
            backward (bool): Whether gradients are chained.
        """
        if self.chunks == 1:
            return
        A = self.inputs[-1]
        sums = A.new_empty(self.batch, self.directions, self.chunks, self.channels)
        slots = totals.shape[2]
        kernels.chunk_kernel[self.programs, self.chunks, self.directions](
            x,
            *self.inputs,
            totals,
            sums,
            *self.sizes,
            slots,
            slot_chunk,
            BACKWARD=backward,
            CHANNELS=self.channels,
            DIRECTIONS=self.directions,
            GROUPS=self.groups,
            RANK=self.rank,
            STATE=self.state,
            SOFTPLUS=self.softplus,
            BLOCK=self.plan.block,
            ROWS=_ROWS[self.plan.block],
            num_warps=1,
        )
        blocks = -(-self.channels // self.plan.block)
        kernels.carry_kernel[self.batch, blocks, self.directions](
            totals,
            sums,
            A,
            self.chunks,
            slots,
            slot_chunk,
            REVERSE=backward,
            CHANNELS=self.channels,
            STATE=self.state,
            BLOCK=self.plan.block,
            num_warps=1,
        )

    def scan(self, kernel, rows, *tensors):
        """Launch the forward or the backward kernel."""
        kernel[self.programs, self.chunks, self.plan.splits](
            *tensors,
            *self.sizes,
            CHUNKED=self.chunks > 1,
            CHANNELS=self.channels,
            DIRECTIONS=self.directions,
            SPLITS=self.plan.splits,
            GROUPS=self.groups,
            RANK=self.rank,
            STATE=self.state,
            SOFTPLUS=self.softplus,
            KEPT=KEPT,
            BLOCK=self.plan.block,
            ROWS=rows,
            num_warps=1,
        )

    def merge(self, out):
        """Write the sum of the partial sums."""
        grid = -(-out.numel() // _MERGED), 1
        kernels.merge_kernel[grid](
            self.partial, out, out.numel(), SPLITS=self.plan.splits, BLOCK=_MERGED, num_warps=4
        )


def states_shape(batch, length, A):
    """Shape of the kept states: (B, K, ceil(length / KEPT), N, D)."""
    directions, channels, state = A.shape
    # in this form for the sizes of a traced graph
    return batch, directions, (length + KEPT - 1) // KEPT, state, channels


def forward(x, delta, p, weight, bias, A, skip, size, softplus):
    """Scan a map in each direction and sum.

    Args:
        x (Tensor): (B, L, D); float16, bfloat16 or float32, contiguous like
            everything here.
        delta (Tensor): (B, L, D) step sizes, read if R is 0.
        p (Tensor): (B, L, K G, R + 2N) dt, B and C for K directions and G
            groups of channels.
        weight (Tensor): (K, R, D), float32 like the next three.
        bias (Tensor): (K, D).
        A (Tensor): (K, D, N).
        skip (Tensor): (K, D).
        size (tuple[int, int]): Height and width, L in all.
        softplus (bool): Whether softplus is applied to the step sizes.

    Returns:
        tuple[Tensor, Tensor]: y like x, and the kept states.
    """
    launch = _Launch(x, delta, p, weight, bias, A, size, softplus, 128)
    states = A.new_empty(states_shape(*x.shape[:2], A))
    y = torch.empty_like(x)
    with torch.cuda.device_of(x):
        launch.chain(x, states, launch.plan.chunk // KEPT, backward=False)
        launch.scan(
            kernels.forward_kernel,
            _ROWS[launch.plan.block],
            x,
            *launch.inputs,
            skip,
            states,
            launch.partial,
            y,
        )
        # a single program's last sweep has written y
        if launch.plan.splits > 1:
            launch.merge(y)
    return y, states


def backward(dy, states, x, delta, p, weight, bias, A, skip, size, softplus):
    """Gradients of :func:`forward`.

    Args:
        dy (Tensor): Gradient of y, like x.
        states (Tensor): The kept states.
        x, delta, p, weight, bias, A, skip, size, softplus: As given to it.

    Returns:
        tuple[Tensor, ...]: Gradients of x (like it); of the step sizes before
        their softplus, (K, B, L, D), bfloat16 or float32; of B and C,
        (B, L, K G, 2N), float32; of A, bias and skip.
    """
    launch = _Launch(x, delta, p, weight, bias, A, size, softplus, 64)
    batch, length, channels = x.shape
    directions, _, state = A.shape
    chunks = launch.chunks
    entries = A.new_empty(batch, directions, chunks, state, channels)
    # float16 has not the range: dz is a thousandth of dy at small steps. Over
    # several states it is summed where it lies
    narrow = state == 1 and delta.dtype == p.dtype == torch.bfloat16
    dtype = torch.bfloat16 if narrow else torch.float32
    dz = x.new_empty(directions, *x.shape, dtype=dtype)
    dgains = A.new_empty(launch.blocks, *p.shape[:3], 2 * state)
    dparameters = A.new_empty(3, batch * chunks, directions, state, channels)
    dx = torch.empty_like(x)
    with torch.cuda.device_of(x):
        launch.chain(dy, entries, 1, backward=True)
        launch.scan(
            kernels.backward_kernel,
            _ROWS_BACKWARD,
            dy,
            states,
            x,
            *launch.inputs,
            skip,
            entries,
            launch.partial,
            dz,
            dgains,
            dparameters,
        )
        launch.merge(dx)
    dA, dbias, dskip = dparameters.sum(1)
    return (dx, dz, dgains.sum(0), dA.transpose(1, 2), dbias.sum(1), dskip.sum(1))
