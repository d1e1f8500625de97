"""Launches of the Triton kernels: how a scan is shared out, and its buffers.

Imported only where Triton is installed.
"""

import functools
from typing import NamedTuple

import torch
import triton

from . import kernels
from .runner import run

# positions from one kept state to the next, so 4 N / 16 bytes are kept for
# each direction and element of x; a multiple of the rows below
STATE_STRIDE = 16
# rows that a program takes at a time, by its channels: as many are in registers
# together
_ROWS = {32: 8, 64: 8, 128: 4}
_ROWS_BACKWARD = 8
# programs, of one warp each, that keep a multiprocessor busy
_PROGRAMS = 16
# a short chunk does not pay, because chunks are walked twice
_SHORTEST_CHUNK = 4 * STATE_STRIDE
_MERGED = 1024


class Plan(NamedTuple):
    """Division of a scan among programs.

    Attributes:
        block (int): Number of channels to a program.
        splits (int): Number of programs that share the directions; each sums over
            its own.
        chunk (int): Number of positions to a program: all, or a multiple of
            STATE_STRIDE.
    """

    block: int
    splits: int
    chunk: int


def make_plan(
    batch: int,
    length: int,
    channels: int,
    groups: int,
    directions: int,
    processors: int,
    widest: int,
) -> Plan:
    """Share out a scan among as few programs as fill a GPU.

    Fewer splits leave fewer partial sums in memory, and only chunks are
    walked twice; so directions are split before positions are.

    Args:
        batch (int): Number of images.
        length (int): Number of positions.
        channels (int): Number of channels of a group.
        groups (int): Number of groups of channels.
        directions (int): Number of directions.
        processors (int): Number of multiprocessors of the GPU.
        widest (int): Greatest number of channels to a program, a key of ``_ROWS``.

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
    chunk = -(-max(chunk, _SHORTEST_CHUNK) // STATE_STRIDE) * STATE_STRIDE
    # two chunks are as much work for each program as one
    return Plan(block, directions, chunk if chunk * 2 < length else length)


@functools.cache
def _processors(device: torch.device) -> int:
    if device.type != 'cuda':
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


class _Launch:
    """Sizes of a pass over a map, and the launches made of them.

    Args:
        x, delta, dt_B_C, weight, bias, A, size, softplus, table: As for `forward`.
        widest (int): Greatest number of channels to a program.
    """

    def __init__(
        self,
        x: torch.Tensor,
        delta: torch.Tensor,
        dt_B_C: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        A: torch.Tensor,
        size: tuple[int, int],
        softplus: bool,
        table: torch.Tensor | None,
        widest: int,
    ) -> None:
        # x for a table that nothing reads
        self.inputs = delta, dt_B_C, weight, bias, A, x if table is None else table
        self.flags = dict(SOFTPLUS=softplus, TABLE=table is not None)
        self.batch, length, channels = x.shape
        self.directions, _, self.state = A.shape
        self.groups = dt_B_C.shape[2] // self.directions
        self.rank = dt_B_C.shape[3] - 2 * self.state
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

    def chain(self, x: torch.Tensor, totals: torch.Tensor, slot_chunk: int, backward: bool) -> None:
        """Write the state, or its gradient, that each chunk starts from.

        Args:
            x (Tensor): Map x or dy, of shape (B, L, D).
            totals (Tensor): States of shape (B, K, slots, N, D), written at every
                ``slot_chunk``-th slot.
            slot_chunk (int): Number of slots from one chunk to the next.
            backward (bool): Chain gradients, last chunk first.
        """
        if self.chunks == 1:
            return
        *_, A, _ = self.inputs
        sums = A.new_empty(self.batch, self.directions, self.chunks, self.channels)
        slots = totals.shape[2]
        run(
            kernels.scan_chunk_kernel,
            (self.programs, self.chunks, self.directions),
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
            **self.flags,
            BLOCK=self.plan.block,
            ROWS=_ROWS[self.plan.block],
            num_warps=1,
        )
        blocks = -(-self.channels // self.plan.block)
        run(
            kernels.scan_carry_kernel,
            (self.batch, blocks, self.directions),
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

    def scan(self, kernel: triton.JITFunction, rows: int, *tensors: torch.Tensor) -> None:
        """Launch the forward or the backward kernel.

        Args:
            kernel (JITFunction): Kernel to launch.
            rows (int): Number of positions taken at a time.
            tensors (Tensor): Its tensors, in order.
        """
        run(
            kernel,
            (self.programs, self.chunks, self.plan.splits),
            *tensors,
            *self.sizes,
            CHUNKED=self.chunks > 1,
            CHANNELS=self.channels,
            DIRECTIONS=self.directions,
            SPLITS=self.plan.splits,
            GROUPS=self.groups,
            RANK=self.rank,
            STATE=self.state,
            **self.flags,
            STATE_STRIDE=STATE_STRIDE,
            BLOCK=self.plan.block,
            ROWS=rows,
            num_warps=1,
        )

    def merge(self, out: torch.Tensor) -> None:
        """Write the sum of the partial sums to ``out``, a map (B, L, D)."""
        grid = -(-out.numel() // _MERGED), 1
        run(
            kernels.scan_merge_kernel,
            grid,
            self.partial,
            out,
            out.numel(),
            SPLITS=self.plan.splits,
            BLOCK=_MERGED,
            num_warps=4,
        )


def states_shape(batch: int, length: int, A: torch.Tensor) -> tuple[int, ...]:
    """Return the shape of the kept states.

    Args:
        batch (int): Number of images.
        length (int): Number of positions.
        A (Tensor): Decay rates of shape (K, D, N).

    Returns:
        tuple[int, ...]: (B, K, ceil(length / STATE_STRIDE), N, D).
    """
    directions, channels, state = A.shape
    # no `//` of a negative, so that symbolic sizes trace
    return batch, directions, (length + STATE_STRIDE - 1) // STATE_STRIDE, state, channels


def forward(
    x: torch.Tensor,
    delta: torch.Tensor,
    dt_B_C: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
    size: tuple[int, int],
    softplus: bool,
    table: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scan a map in each direction and sum.

    Args:
        x (Tensor): Map of shape (B, L, D); float16, bfloat16 or float32,
            contiguous like all tensors here.
        delta (Tensor): Step sizes of shape (B, L, D), read if R is 0.
        dt_B_C (Tensor): dt, B and C for K directions and G groups of channels, of
            shape (B, L, K G, R + 2N).
        weight (Tensor): Weight from dt to step sizes, of shape (K, R, D); float32
            like the next three.
        bias (Tensor): Bias of the step sizes, of shape (K, D).
        A (Tensor): Decay rates of shape (K, D, N).
        D (Tensor): Weight of the direct path, of shape (K, D).
        size (tuple[int, int]): Height and width, L in all.
        softplus (bool): Apply softplus to the step sizes.
        table (Tensor, optional): Positions of the map in the order of each direction, of
            shape (K, L), int32. Default: rows, columns and their reverses.

    Returns:
        tuple[Tensor, Tensor]: y like x, and the kept states of `states_shape`.
    """
    launch = _Launch(x, delta, dt_B_C, weight, bias, A, size, softplus, table, 128)
    states = A.new_empty(states_shape(*x.shape[:2], A))
    y = torch.empty_like(x)
    with torch.cuda.device_of(x):
        launch.chain(x, states, launch.plan.chunk // STATE_STRIDE, backward=False)
        launch.scan(
            kernels.scan_fwd_kernel,
            _ROWS[launch.plan.block],
            x,
            *launch.inputs,
            D,
            states,
            launch.partial,
            y,
        )
        # a single program's last sweep has written y
        if launch.plan.splits > 1:
            launch.merge(y)
    return y, states


def backward(
    dy: torch.Tensor,
    states: torch.Tensor,
    x: torch.Tensor,
    delta: torch.Tensor,
    dt_B_C: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
    size: tuple[int, int],
    softplus: bool,
    table: torch.Tensor | None = None,
) -> tuple[torch.Tensor, ...]:
    """Compute the gradients of `forward`.

    Args:
        dy (Tensor): Gradient of y, like x.
        states (Tensor): Kept states from `forward`.
        x, delta, dt_B_C, weight, bias, A, D, size, softplus, table: As given to `forward`.

    Returns:
        tuple[Tensor, ...]: Gradients of x, like x; of the step sizes before
        softplus, of shape (K, B, L, D), bfloat16 or float32; of B and C, of shape
        (B, L, K G, 2N), float32; of A, bias and D, of their shapes.
    """
    launch = _Launch(x, delta, dt_B_C, weight, bias, A, size, softplus, table, 64)
    batch, length, channels = x.shape
    directions, _, state = A.shape
    chunks = launch.chunks
    entries = A.new_empty(batch, directions, chunks, state, channels)
    # not in float16, which lacks the range: dz is a thousandth of dy at small step
    # sizes. With several states, dz is summed in place, so it stays float32
    narrow = state == 1 and delta.dtype == dt_B_C.dtype == torch.bfloat16
    dtype = torch.bfloat16 if narrow else torch.float32
    dz = x.new_empty(directions, *x.shape, dtype=dtype)
    dB_dC = A.new_empty(launch.blocks, *dt_B_C.shape[:3], 2 * state)
    dparameters = A.new_empty(3, batch * chunks, directions, state, channels)
    dx = torch.empty_like(x)
    with torch.cuda.device_of(x):
        launch.chain(dy, entries, 1, backward=True)
        launch.scan(
            kernels.scan_bwd_kernel,
            _ROWS_BACKWARD,
            dy,
            states,
            x,
            *launch.inputs,
            D,
            entries,
            launch.partial,
            dz,
            dB_dC,
            dparameters,
        )
        launch.merge(dx)
    dA, dbias, dD = dparameters.sum(1)
    return (dx, dz, dB_dC.sum(0), dA.transpose(1, 2), dbias.sum(1), dD.sum(1))
