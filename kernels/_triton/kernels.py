"""The selective scan on a GPU: the Triton kernels of both operators.

Maps are channels-last, (B, L, D) with L = H W, and the lanes of a program are
channels, so that a direction is nothing but an order of addresses. A program takes a
block of channels of one image and walks over the positions, ROWS at a time: first
everything that does not depend on the state, then the short chain h = a h + v. Names
are explained in docs/scan_glossary.md.

Tensors that several kernels read and write, with int64 addresses throughout:

- x, y, dy, dx: (B, L, D);
- dt_B_C: (B, L, K G, R + 2N), for each of K directions and G groups of channels
  dt (R), B (N) and C (N) of a position; without dt (R = 0) there is
- delta: (B, L, D), the step sizes before bias and softplus;
- weight: (K, R, D), from dt to step sizes; bias and D: (K, D);
- A: (K, D, N);
- table: (K, L), int32, for each direction the positions of the map in its order, read
  where it walks neither along rows nor along columns;
- states: (B, K, ceil(L / STATE_STRIDE), N, D), before every STATE_STRIDE-th position;
- partial: (SPLITS, B, L, D), sums over the directions of a program.

Each state index is a sweep of its own, because the kernels are made for N = 1.
Nothing is added atomically; two runs give the same bits.
"""

import triton
import triton.language as tl

from .rows import (
    LOG2_E,
    load_deltas,
    load_rows,
    load_scalars,
    map_offsets,
    program_block,
    wide,
)

# not specialised, because images come in many sizes and compiling takes seconds
_SIZES = ('height', 'width', 'group_blocks', 'chunk', 'chunks', 'slots', 'slot_chunk')


@triton.jit(do_not_specialize=_SIZES)
def scan_chunk_kernel(
    x_ptr,
    delta_ptr,
    dt_B_C_ptr,
    weight_ptr,
    bias_ptr,
    A_ptr,
    table_ptr,
    totals_ptr,
    sums_ptr,
    height,
    width,
    group_blocks,
    chunk,
    slots,
    slot_chunk,
    BACKWARD: tl.constexpr,
    CHANNELS: tl.constexpr,
    DIRECTIONS: tl.constexpr,
    GROUPS: tl.constexpr,
    RANK: tl.constexpr,
    STATE: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    TABLE: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Scan each chunk of positions from a zero state.

    Forward, the result is the state after the chunk; backward, with dy for x, it is
    the gradient of the state before the chunk, from a zero gradient after it.

    Grid: (images and blocks of channels, chunks, directions).

    Args:
        x_ptr: x, or dy (B, L, D).
        delta_ptr, dt_B_C_ptr, weight_ptr, bias_ptr, A_ptr, table_ptr: See the module.
        totals_ptr: Results (B, K, slots, N, D), written at every ``slot_chunk``-th
            slot.
        sums_ptr: Sums (B, K, chunks, D) of the step sizes, written; they give each
            chunk's decay.
        height, width: Size of the map.
        group_blocks: Number of blocks of channels in a group.
        chunk: Number of positions to a chunk.
        slots: Number of slots of an image and direction.
        slot_chunk: Number of slots from one chunk to the next.
        BACKWARD: True to scan gradients.
        CHANNELS, DIRECTIONS, GROUPS, RANK, STATE: D, K, G, R and N.
        SOFTPLUS: True to apply softplus to the step sizes.
        TABLE: True if there is a table.
        BLOCK: Number of channels to a program.
        ROWS: Number of positions taken at a time.
    """
    i_image, i_group, i_block, channel, mask = program_block(group_blocks, CHANNELS, GROUPS, BLOCK)
    k = tl.program_id(2)
    length = height * width
    i_chunk = tl.program_id(1)
    start = i_chunk * chunk
    STRIDE: tl.constexpr = DIRECTIONS * GROUPS * (RANK + 2 * STATE)
    x_ptr += i_image * length * CHANNELS
    delta_ptr += i_image * length * CHANNELS
    dt_B_C_ptr += i_image * length * STRIDE + (k * GROUPS + i_group) * (RANK + 2 * STATE)
    weight_ptr += k * RANK * CHANNELS
    bias_k = tl.load(bias_ptr + k * CHANNELS + channel, mask=mask, other=0.0)
    slot = (i_image * DIRECTIONS + k) * slots + i_chunk * slot_chunk
    sums_ptr += ((i_image * DIRECTIONS + k) * tl.num_programs(1) + i_chunk) * CHANNELS
    for n in range(STATE):
        rate = tl.load(A_ptr + (k * CHANNELS + channel) * STATE + n, mask=mask, other=0.0) * LOG2_E
        total = tl.zeros([BLOCK], tl.float32)
        delta_sum = tl.zeros([BLOCK], tl.float32)
        for position in range(start, min(start + chunk, length), ROWS):
            offsets = map_offsets(table_ptr, position, k, height, width, TABLE, ROWS)
            delta, slope = load_deltas(
                delta_ptr,
                dt_B_C_ptr,
                weight_ptr,
                bias_k,
                offsets,
                channel,
                mask,
                position,
                length,
                CHANNELS,
                STRIDE,
                RANK,
                SOFTPLUS,
                ROWS,
            )
            u = load_rows(x_ptr, offsets, channel, mask, position, length, CHANNELS, ROWS)
            B_or_C = load_scalars(
                dt_B_C_ptr + RANK + n + (STATE if BACKWARD else 0),
                offsets,
                position,
                length,
                STRIDE,
                ROWS,
            )
            for t in tl.static_range(ROWS):
                delta_sum += delta[t]
                if BACKWARD:
                    total += tl.exp2(delta_sum * rate) * B_or_C[t] * u[t]
                else:
                    total = tl.exp2(delta[t] * rate) * total + delta[t] * B_or_C[t] * u[t]
        tl.store(totals_ptr + (slot * STATE + n) * CHANNELS + channel, total, mask=mask)
        if n == 0:
            tl.store(sums_ptr + channel, delta_sum, mask=mask)


@triton.jit(do_not_specialize=_SIZES)
def scan_carry_kernel(
    totals_ptr,
    sums_ptr,
    A_ptr,
    chunks,
    slots,
    slot_chunk,
    REVERSE: tl.constexpr,
    CHANNELS: tl.constexpr,
    STATE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Chain the chunks: replace each total by what the chunk starts from.

    Grid: (images, blocks of channels, directions).

    Args:
        totals_ptr: Results (B, K, slots, N, D) of `scan_chunk_kernel`, replaced at
            every ``slot_chunk``-th slot.
        sums_ptr: Sums (B, K, chunks, D) of the step sizes.
        A_ptr: Decay rates (K, D, N).
        chunks: Number of chunks.
        slots: Number of slots of an image and direction.
        slot_chunk: Number of slots from one chunk to the next.
        REVERSE: True to start with the last chunk, as for gradients.
        CHANNELS, STATE: D and N.
        BLOCK: Number of channels to a program.
    """
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < CHANNELS
    k = tl.program_id(2)
    i_scan = wide(tl.program_id(0)) * tl.num_programs(2) + k
    for n in range(STATE):
        rate = tl.load(A_ptr + (k * CHANNELS + channel) * STATE + n, mask=mask, other=0.0) * LOG2_E
        carry = tl.zeros([BLOCK], tl.float32)
        for i in range(chunks):
            c = chunks - 1 - i if REVERSE else i
            delta_sum = tl.load(
                sums_ptr + (i_scan * chunks + c) * CHANNELS + channel, mask=mask, other=0.0
            )
            p_total = (
                totals_ptr + ((i_scan * slots + c * slot_chunk) * STATE + n) * CHANNELS + channel
            )
            total = tl.load(p_total, mask=mask, other=0.0)
            tl.store(p_total, carry, mask=mask)
            carry = tl.exp2(delta_sum * rate) * carry + total


@triton.jit(do_not_specialize=_SIZES)
def scan_fwd_kernel(
    x_ptr,
    delta_ptr,
    dt_B_C_ptr,
    weight_ptr,
    bias_ptr,
    A_ptr,
    table_ptr,
    D_ptr,
    states_ptr,
    partial_ptr,
    y_ptr,
    height,
    width,
    group_blocks,
    chunk,
    CHUNKED: tl.constexpr,
    CHANNELS: tl.constexpr,
    DIRECTIONS: tl.constexpr,
    SPLITS: tl.constexpr,
    GROUPS: tl.constexpr,
    RANK: tl.constexpr,
    STATE: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    TABLE: tl.constexpr,
    STATE_STRIDE: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Scan a chunk in every SPLITS-th direction.

    Grid: (images and blocks of channels, chunks, SPLITS).

    Where a program sums over all directions, its last sweep writes y; otherwise the
    program leaves its sum in partial.

    Args:
        x_ptr, delta_ptr, dt_B_C_ptr, weight_ptr, bias_ptr, A_ptr, table_ptr, D_ptr: See
            the module.
        states_ptr: States, written; those at the entry of chunks are read if there
            are several chunks.
        partial_ptr: Sums over the directions of a program, written.
        y_ptr: y (B, L, D), written if SPLITS is 1.
        height, width: Size of the map.
        group_blocks: Number of blocks of channels in a group.
        chunk: Number of positions to a chunk.
        CHUNKED: True if there are several chunks.
        CHANNELS, DIRECTIONS, GROUPS, RANK, STATE: D, K, G, R and N.
        SPLITS: Number of programs that share the directions.
        SOFTPLUS: True to apply softplus to the step sizes.
        TABLE: True if there is a table.
        STATE_STRIDE: Number of positions from one kept state to the next.
        BLOCK: Number of channels to a program.
        ROWS: Number of positions taken at a time.
    """
    i_image, i_group, i_block, channel, mask = program_block(group_blocks, CHANNELS, GROUPS, BLOCK)
    i_split = tl.program_id(2)
    length = height * width
    i_chunk = tl.program_id(1)
    start = i_chunk * chunk
    STRIDE: tl.constexpr = DIRECTIONS * GROUPS * (RANK + 2 * STATE)
    SWEEPS: tl.constexpr = DIRECTIONS // SPLITS * STATE
    slots = tl.cdiv(length, STATE_STRIDE)
    batch = wide(tl.num_programs(0) // (GROUPS * group_blocks))
    image = i_image * length * CHANNELS
    x_ptr += image
    delta_ptr += image
    y_ptr += image
    partial_ptr += i_split * batch * length * CHANNELS + image
    dt_B_C_ptr += i_image * length * STRIDE + i_group * (RANK + 2 * STATE)
    for sweep in range(SWEEPS):
        # barrier, because another lane may read what the previous sweep has stored
        tl.debug_barrier()
        k, n = i_split + SPLITS * (sweep // STATE), sweep % STATE
        p_dt_B_C = dt_B_C_ptr + k * GROUPS * (RANK + 2 * STATE)
        bias_k = tl.load(bias_ptr + k * CHANNELS + channel, mask=mask, other=0.0)
        # the direct path goes with the first state
        D_k = tl.load(D_ptr + k * CHANNELS + channel, mask=mask & (n == 0), other=0.0)
        rate = tl.load(A_ptr + (k * CHANNELS + channel) * STATE + n, mask=mask, other=0.0) * LOG2_E
        p_states = (
            states_ptr + ((i_image * DIRECTIONS + k) * slots * STATE + n) * CHANNELS + channel
        )
        h = tl.zeros([BLOCK], tl.float32)
        if CHUNKED:
            h = tl.load(
                p_states + wide(start // STATE_STRIDE) * STATE * CHANNELS, mask=mask, other=0.0
            )
        for position in range(start, min(start + chunk, length), ROWS):
            tl.store(
                p_states + wide(position // STATE_STRIDE) * STATE * CHANNELS,
                h,
                mask=mask & (position % STATE_STRIDE == 0),
            )
            offsets = map_offsets(table_ptr, position, k, height, width, TABLE, ROWS)
            u = load_rows(x_ptr, offsets, channel, mask, position, length, CHANNELS, ROWS)
            B = load_scalars(p_dt_B_C + RANK + n, offsets, position, length, STRIDE, ROWS)
            C = load_scalars(p_dt_B_C + RANK + STATE + n, offsets, position, length, STRIDE, ROWS)
            out = load_rows(
                partial_ptr, offsets, channel, mask & (sweep > 0), position, length, CHANNELS, ROWS
            )
            delta, slope = load_deltas(
                delta_ptr,
                p_dt_B_C,
                weight_ptr + k * RANK * CHANNELS,
                bias_k,
                offsets,
                channel,
                mask,
                position,
                length,
                CHANNELS,
                STRIDE,
                RANK,
                SOFTPLUS,
                ROWS,
            )
            for t in tl.static_range(ROWS):
                h = tl.exp2(delta[t] * rate) * h + delta[t] * u[t] * B[t]
                value = out[t] + D_k * u[t] + C[t] * h
                offset = offsets[t] * CHANNELS + channel
                valid = mask & (position + t < length)
                if SPLITS == 1:
                    last = sweep == SWEEPS - 1
                    tl.store(y_ptr + offset, value, mask=valid & last)
                    tl.store(partial_ptr + offset, value, mask=valid & (not last))
                else:
                    tl.store(partial_ptr + offset, value, mask=valid)


@triton.jit(do_not_specialize=_SIZES)
def scan_bwd_kernel(
    dy_ptr,
    states_ptr,
    x_ptr,
    delta_ptr,
    dt_B_C_ptr,
    weight_ptr,
    bias_ptr,
    A_ptr,
    table_ptr,
    D_ptr,
    entries_ptr,
    partial_ptr,
    dz_ptr,
    dB_dC_ptr,
    dparameters_ptr,
    height,
    width,
    group_blocks,
    chunk,
    CHUNKED: tl.constexpr,
    CHANNELS: tl.constexpr,
    DIRECTIONS: tl.constexpr,
    SPLITS: tl.constexpr,
    GROUPS: tl.constexpr,
    RANK: tl.constexpr,
    STATE: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    TABLE: tl.constexpr,
    STATE_STRIDE: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Compute the gradients of a chunk in every SPLITS-th direction.

    Grid: (images and blocks of channels, chunks, SPLITS).

    ROWS positions at a time are scanned again from the last kept state, then walked
    back.

    Args:
        dy_ptr: Gradient of y (B, L, D).
        states_ptr: States from `scan_fwd_kernel`.
        x_ptr, delta_ptr, dt_B_C_ptr, weight_ptr, bias_ptr, A_ptr, table_ptr, D_ptr: See
            the module.
        entries_ptr: Gradients (B, K, chunks, N, D) of the states after the chunks,
            read if there are several.
        partial_ptr: Sums of dx over the directions of a program, written.
        dz_ptr: Gradients (K, B, L, D) of the step sizes before softplus, written.
        dB_dC_ptr: Parts (blocks of a group, B, L, K G, 2N) of dB and dC, written.
        dparameters_ptr: Parts (3, B chunks, K, N, D) of dA, dbias and dD, written.
        height, width, group_blocks, chunk: As for `scan_fwd_kernel`; likewise:
        CHUNKED, CHANNELS, DIRECTIONS, SPLITS, GROUPS, RANK, STATE, SOFTPLUS, TABLE,
            STATE_STRIDE, BLOCK, ROWS: Constants.
    """
    i_image, i_group, i_block, channel, mask = program_block(group_blocks, CHANNELS, GROUPS, BLOCK)
    i_split, chunks = tl.program_id(2), tl.num_programs(1)
    length = height * width
    batch = wide(tl.num_programs(0) // (GROUPS * group_blocks))
    i_chunk = tl.program_id(1)
    start = i_chunk * chunk
    end = min(start + chunk, length)
    DT_B_C_SIZE: tl.constexpr = RANK + 2 * STATE
    STRIDE: tl.constexpr = DIRECTIONS * GROUPS * DT_B_C_SIZE
    DB_DC_STRIDE: tl.constexpr = DIRECTIONS * GROUPS * 2 * STATE
    SWEEPS: tl.constexpr = DIRECTIONS // SPLITS * STATE
    slots = tl.cdiv(length, STATE_STRIDE)
    image = i_image * length * CHANNELS
    dy_ptr += image
    x_ptr += image
    delta_ptr += image
    partial_ptr += i_split * batch * length * CHANNELS + image
    dt_B_C_ptr += i_image * length * STRIDE + i_group * DT_B_C_SIZE
    dB_dC_ptr += (i_block * batch + i_image) * length * DB_DC_STRIDE
    i_part = i_image * chunks + i_chunk
    for sweep in range(SWEEPS):
        # barrier, because another lane may read what the previous sweep has stored
        tl.debug_barrier()
        k, n = i_split + SPLITS * (sweep // STATE), sweep % STATE
        p_dt_B_C = dt_B_C_ptr + k * GROUPS * DT_B_C_SIZE
        p_weight = weight_ptr + k * RANK * CHANNELS
        p_dz = dz_ptr + k * batch * length * CHANNELS + image
        p_dB_dC_k = dB_dC_ptr + (k * GROUPS + i_group) * 2 * STATE + n
        bias_k = tl.load(bias_ptr + k * CHANNELS + channel, mask=mask, other=0.0)
        D_k = tl.load(D_ptr + k * CHANNELS + channel, mask=mask & (n == 0), other=0.0)
        A_n = tl.load(A_ptr + (k * CHANNELS + channel) * STATE + n, mask=mask, other=0.0)
        rate = A_n * LOG2_E
        p_states = (
            states_ptr + ((i_image * DIRECTIONS + k) * slots * STATE + n) * CHANNELS + channel
        )
        carry = tl.zeros([BLOCK], tl.float32)
        if CHUNKED:
            carry = tl.load(
                entries_ptr
                + (((i_image * DIRECTIONS + k) * chunks + i_chunk) * STATE + n) * CHANNELS
                + channel,
                mask=mask,
                other=0.0,
            )
        dA = tl.zeros([BLOCK], tl.float32)
        dbias = tl.zeros([BLOCK], tl.float32)
        dD = tl.zeros([BLOCK], tl.float32)
        count = tl.cdiv(end - start, ROWS)
        for i in range(count):
            position = start + (count - 1 - i) * ROWS
            first = position // STATE_STRIDE * STATE_STRIDE
            h = tl.load(
                p_states + wide(position // STATE_STRIDE) * STATE * CHANNELS, mask=mask, other=0.0
            )
            # scan from the kept state to the first of these rows
            for before in range(first, position, ROWS):
                offsets = map_offsets(table_ptr, before, k, height, width, TABLE, ROWS)
                u = load_rows(x_ptr, offsets, channel, mask, before, length, CHANNELS, ROWS)
                B = load_scalars(p_dt_B_C + RANK + n, offsets, before, length, STRIDE, ROWS)
                delta, slope = load_deltas(
                    delta_ptr,
                    p_dt_B_C,
                    p_weight,
                    bias_k,
                    offsets,
                    channel,
                    mask,
                    before,
                    length,
                    CHANNELS,
                    STRIDE,
                    RANK,
                    SOFTPLUS,
                    ROWS,
                )
                for t in tl.static_range(ROWS):
                    h = tl.exp2(delta[t] * rate) * h + delta[t] * u[t] * B[t]
            offsets = map_offsets(table_ptr, position, k, height, width, TABLE, ROWS)
            u = load_rows(x_ptr, offsets, channel, mask, position, length, CHANNELS, ROWS)
            grad = load_rows(dy_ptr, offsets, channel, mask, position, length, CHANNELS, ROWS)
            du = load_rows(
                partial_ptr, offsets, channel, mask & (sweep > 0), position, length, CHANNELS, ROWS
            )
            B = load_scalars(p_dt_B_C + RANK + n, offsets, position, length, STRIDE, ROWS)
            C = load_scalars(p_dt_B_C + RANK + STATE + n, offsets, position, length, STRIDE, ROWS)
            delta, slope = load_deltas(
                delta_ptr,
                p_dt_B_C,
                p_weight,
                bias_k,
                offsets,
                channel,
                mask,
                position,
                length,
                CHANNELS,
                STRIDE,
                RANK,
                SOFTPLUS,
                ROWS,
            )
            decay = ()
            h_before = ()
            for t in tl.static_range(ROWS):
                decay = decay + (tl.exp2(delta[t] * rate),)
                h_before = h_before + (h,)
                h = decay[t] * h + delta[t] * u[t] * B[t]
            for t in tl.static_range(ROWS - 1, -1, -1):
                valid = position + t < length
                offset = offsets[t] * CHANNELS + channel
                g = C[t] * grad[t] + carry
                carry = decay[t] * g
                along_a = carry * h_before[t]
                dA += along_a * delta[t]
                dD += u[t] * grad[t]
                tl.store(
                    partial_ptr + offset,
                    du[t] + g * B[t] * delta[t] + D_k * grad[t],
                    mask=mask & valid,
                )
                dz_t = (along_a * A_n + g * B[t] * u[t]) * slope[t]
                dbias += dz_t
                if STATE > 1:
                    dz_t += tl.load(p_dz + offset, mask=mask & valid & (n > 0), other=0.0)
                tl.store(p_dz + offset, dz_t, mask=mask & valid)
                p_dB_dC = p_dB_dC_k + offsets[t] * DB_DC_STRIDE
                tl.store(p_dB_dC, tl.sum(g * delta[t] * u[t]), mask=valid)
                tl.store(p_dB_dC + STATE, tl.sum(grad[t] * h), mask=valid)
                h = h_before[t]
        slot = ((i_part * DIRECTIONS + k) * STATE + n) * CHANNELS + channel
        part_size = batch * chunks * DIRECTIONS * STATE * CHANNELS
        tl.store(dparameters_ptr + slot, dA, mask=mask)
        tl.store(dparameters_ptr + part_size + slot, dbias, mask=mask)
        tl.store(dparameters_ptr + 2 * part_size + slot, tl.where(n == 0, dD, 0.0), mask=mask)


@triton.jit
def scan_merge_kernel(partial_ptr, y_ptr, size, SPLITS: tl.constexpr, BLOCK: tl.constexpr):
    """Sum the partial sums of a map in float32, in a fixed order.

    Grid: (blocks of elements, 1).

    Args:
        partial_ptr: Partial sums (SPLITS, B, L, D).
        y_ptr: Sums (B, L, D), written.
        size: Number of elements of y.
        SPLITS: Number of partial sums.
        BLOCK: Number of elements to a program.
    """
    i = wide(tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
    total = tl.load(partial_ptr + i, mask=i < size, other=0.0)
    for split in tl.static_range(1, SPLITS):
        total += tl.load(partial_ptr + split * wide(size) + i, mask=i < size, other=0.0)
    tl.store(y_ptr + i, total, mask=i < size)
