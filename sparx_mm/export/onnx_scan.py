"""The scans in standard ONNX operators, as functions of an ONNX model.

A map or a sequence is scanned as lines of positions. Within lines, all of them at a time,
`linear_scan` steps over the positions from states of zero. Then it chains the lines: a line
turns its entry state h into exp(A * sum of its step sizes) h plus its own last state. What
the entry adds at a position is h times exp(A * sum of the step sizes so far), a sum of
negative numbers, so nothing overflows. H + W steps replace H * W, for any size. A scan in
reverse is one of the flipped lines.
"""

from onnxscript import graph, script
from onnxscript import opset18 as op
from onnxscript.values import Opset

DOMAIN = 'sparx_mm'
_domain = Opset(DOMAIN, 1)


@script(_domain, default_opset=op)
def linear_scan(rates, b):
    """Scan h_t = exp(rates_t) h_{t-1} + b_t along axis 0, by an ONNX Scan.

    Args:
        rates: Logarithms of the decays, of shape (P, ...).
        b: What each position adds, like rates.

    Returns:
        The states, and the decays from before the first position, both like rates.
    """
    start = op.ConstantOfShape(op.Shape(b, start=1))

    @graph()
    def position(h, a_t, b_t):
        g = a_t * h + b_t
        y = op.Identity(g)
        return g, y

    last, h = op.Scan(start, op.Exp(rates), b, body=position, num_scan_inputs=2)
    return h, op.Exp(op.CumSum(rates, 0))


@script(_domain, default_opset=op)
def join(b, a, steps):
    """Let each position of axis 0 read the one that is ``steps`` before it.

    Args:
        b: States that begin at zero ``steps - 1`` positions before.
        a: Decays over as many positions.
        steps: The number, of shape (1,).

    Returns:
        The same for twice as many positions.
    """
    end = op.Shape(b, start=0, end=1)
    b_late = op.Slice(b, steps, end, [0])
    a_late = op.Slice(a, steps, end, [0])
    b_early = op.Slice(b, [0], op.Neg(steps), [0])
    a_early = op.Slice(a, [0], op.Neg(steps), [0])
    b_first = op.Slice(b, [0], steps, [0])
    a_first = op.Slice(a, [0], steps, [0])
    return (
        op.Concat(b_first, b_late + a_late * b_early, axis=0),
        op.Concat(a_first, a_late * a_early, axis=0),
    )


@script(_domain, default_opset=op)
def join_block(b, a, h, decay, start):
    """Let 1024 positions read those before, all of them empty where no position is left.

    Args:
        b: States that begin at zero 1023 positions before.
        a: Decays over as many positions.
        h: States of the last block.
        decay: Decays from before the first position to those of the last block.
        start: The first position, of shape (1,).

    Returns:
        States and decays of the block, like h and decay.
    """
    end = start + 1024
    b_own = op.Slice(b, start, end, [0])
    a_own = op.Slice(a, start, end, [0])
    length = op.Shape(b_own, start=0, end=1)
    h_early = op.Slice(h, [0], length, [0])
    decay_early = op.Slice(decay, [0], length, [0])
    return b_own + a_own * h_early, a_own * decay_early


@script(_domain, default_opset=op)
def linear_scan_by_doubling(rates, b):
    """Scan as `linear_scan` without a loop, for runtimes whose loops are slow or wrong.

    Each step reads twice the positions of the last one, up to 1024. Then blocks of as many
    follow each other: up to 8192 positions, images of 32768 pixels.

    Args:
        rates, b: As for `linear_scan`.

    Returns:
        Its results.
    """
    h1, a1 = join(b, op.Exp(rates), [1])
    h2, a2 = join(h1, a1, [2])
    h4, a4 = join(h2, a2, [4])
    h8, a8 = join(h4, a4, [8])
    h16, a16 = join(h8, a8, [16])
    h32, a32 = join(h16, a16, [32])
    h64, a64 = join(h32, a32, [64])
    h128, a128 = join(h64, a64, [128])
    h256, a256 = join(h128, a128, [256])
    h512, a512 = join(h256, a256, [512])
    h_0 = op.Slice(h512, [0], [1024], [0])
    d_0 = op.Slice(a512, [0], [1024], [0])
    h_1, d_1 = join_block(h512, a512, h_0, d_0, [1024])
    h_2, d_2 = join_block(h512, a512, h_1, d_1, [2048])
    h_3, d_3 = join_block(h512, a512, h_2, d_2, [3072])
    h_4, d_4 = join_block(h512, a512, h_3, d_3, [4096])
    h_5, d_5 = join_block(h512, a512, h_4, d_4, [5120])
    h_6, d_6 = join_block(h512, a512, h_5, d_5, [6144])
    h_7, d_7 = join_block(h512, a512, h_6, d_6, [7168])
    return (
        op.Concat(h_0, h_1, h_2, h_3, h_4, h_5, h_6, h_7, axis=0),
        op.Concat(d_0, d_1, d_2, d_3, d_4, d_5, d_6, d_7, axis=0),
    )


@script(_domain, default_opset=op)
def step_sizes(z):
    """Compute softplus, at least 1.2e-7: max(z, 0) + log(1 + w) with w = exp(-|z|).

    onnxruntime's own takes about ten times as long as an exponential. The quotient makes
    up for what rounding 1 + w loses.
    """
    w = op.Max(op.Exp(op.Neg(op.Abs(z))), 1.2e-7)
    v = w + 1.0
    return op.Relu(z) + op.Log(v) * (w / (v - 1.0))


@script(_domain, default_opset=op)
def scan_lines(u, delta, A, B, C):
    """Scan P positions of each of L lines, line after line, without the direct path.

    Args:
        u: Inputs of D channels in each of G groups, (P, B, L, G, D).
        delta: Step sizes, like u.
        A: Decay rates, (G, D, N).
        B: Input weights, (P, B, L, G, N).
        C: Output weights, like B.

    Returns:
        Outputs like u.
    """
    # (P, B, L, G, N, D), channels last, over which runtimes are fast
    rates = op.Unsqueeze(delta, [4]) * op.Transpose(A, perm=[0, 2, 1])
    b = op.Unsqueeze(delta * u, [4]) * op.Unsqueeze(B, [5])
    h, decay = linear_scan(rates, b)
    # of whole lines: (B, L, G, N, D) -> (L, B, G, N, D)
    own = op.Gather(h, -1, axis=0)
    whole = op.ReduceSum(rates, [0], keepdims=0)
    after, _ = linear_scan(
        op.Transpose(whole, perm=[1, 0, 2, 3, 4]), op.Transpose(own, perm=[1, 0, 2, 3, 4])
    )
    first = op.ConstantOfShape(op.Shape(op.Slice(after, [0], [1], [0])))
    entry = op.Concat(first, op.Slice(after, [0], [-1], [0]), axis=0)
    h_all = h + decay * op.Transpose(entry, perm=[1, 0, 2, 3, 4])
    return op.ReduceSum(h_all * op.Unsqueeze(C, [5]), [4], keepdims=0)


@script(_domain, default_opset=op)
def scan_projected(u, dt_B_C, weight, bias, A):
    """Scan lines by a low-rank projection, K directions at once.

    Args:
        u: Inputs, (P, B, L, K, D).
        dt_B_C: Projection, (P, B, L, K, R + 2N).
        weight: Weight from dt to step sizes, (K, D, R).
        bias: Bias of the step sizes, (K, D).
        A: Decay rates, (K, D, N).

    Returns:
        Outputs like u.
    """
    rank = op.Shape(weight, start=2, end=3)
    states = op.Shape(A, start=2, end=3)
    dt, B, C = op.Split(dt_B_C, op.Concat(rank, states, states, axis=0), axis=4)
    # (P, B, L, K, 1, R) @ (K, R, D) -> (P, B, L, K, 1, D) -> (P, B, L, K, D)
    z = op.MatMul(op.Unsqueeze(dt, [4]), op.Transpose(weight, perm=[0, 2, 1]))
    delta = step_sizes(op.Squeeze(z, [4]) + bias)
    return scan_lines(u, delta, A, B, C)


@script(_domain, default_opset=op)
def reverse(lines):
    """Turn around (P, B, L, 1, ...) lines and their positions."""
    return op.Slice(lines, [-1, -1], [-2147483647, -2147483647], [0, 2], [-1, -1])


@script(_domain, default_opset=op)
def scan_both_ways(u, dt_B_C, weight, bias, A):
    """Scan lines from the first position of the first one, and from the last of the last.

    Args:
        u: Inputs, (P, B, L, 1, D).
        dt_B_C: Low-rank projection for either way, (P, B, L, 2, R + 2N).
        weight: Weight from dt to step sizes, (2, D, R).
        bias: Bias of the step sizes, (2, D).
        A: Decay rates, (2, D, N).

    Returns:
        The sum of both scans, (P, B, L, D).
    """
    p0, p1 = op.Split(dt_B_C, num_outputs=2, axis=3)
    p = op.Concat(p0, reverse(p1), axis=3)
    y = scan_projected(op.Concat(u, reverse(u), axis=3), p, weight, bias, A)
    y0, y1 = op.Split(y, num_outputs=2, axis=3)
    return op.Squeeze(y0 + reverse(y1), [3])


@script(_domain, default_opset=op)
def ss2d_cross(x, dt_B_C, dt_weight, dt_bias, A, D):
    """Compute `sparx_mm.kernels.ss2d`, rows and columns as lines.

    Args:
        x, dt_B_C, dt_weight, dt_bias, A, D: As for that function.

    Returns:
        The map like x, and what nothing reads: the operator has two outputs.
    """
    # (B, D, H, W) -> (B, D, H, W, 1)
    u = op.Unsqueeze(op.Cast(x, to=1), [4])
    p = op.Cast(dt_B_C, to=1)
    # lines of W positions: (W, B, H, 1, D), (W, B, H, 2, K)
    rows = scan_both_ways(
        op.Transpose(u, perm=[3, 0, 2, 4, 1]),
        op.Gather(op.Transpose(p, perm=[2, 0, 1, 3, 4]), [0, 2], axis=3),
        op.Gather(dt_weight, [0, 2]),
        op.Gather(dt_bias, [0, 2]),
        op.Gather(A, [0, 2]),
    )
    # of H positions: (H, B, W, 1, D), (H, B, W, 2, K)
    columns = scan_both_ways(
        op.Transpose(u, perm=[2, 0, 3, 4, 1]),
        op.Gather(op.Transpose(p, perm=[1, 0, 2, 3, 4]), [1, 3], axis=3),
        op.Gather(dt_weight, [1, 3]),
        op.Gather(dt_bias, [1, 3]),
        op.Gather(A, [1, 3]),
    )
    # (D, 1, 1)
    direct = op.Unsqueeze(op.ReduceSum(D, [0], keepdims=0), [1, 2]) * op.Squeeze(u, [4])
    y = op.Transpose(rows, perm=[1, 3, 2, 0]) + op.Transpose(columns, perm=[1, 3, 0, 2])
    return op.CastLike(y + direct, x), op.Identity(A)


@script(_domain, default_opset=op)
def diagonal_keys(height, width):
    """Give positions keys whose sorting gives `diagonal_orders` of `sparx_mm.kernels`.

    Args:
        height, width: Size of the map, of shape (1,) each.

    Returns:
        A key for each direction and position, (4, L).
    """
    i = op.Unsqueeze(op.Range(0, op.Squeeze(height), 1), [1])
    j = op.Range(0, op.Squeeze(width), 1)
    return op.Concat(
        op.Reshape(i * width + j, [1, -1]),
        op.Reshape(i + j * height, [1, -1]),
        op.Reshape((i + j) * height + i, [1, -1]),
        op.Reshape((i - j) * height + i, [1, -1]),
        axis=0,
    )


@script(_domain, default_opset=op)
def snake_keys(height, width):
    """Give positions keys whose sorting gives `snake_orders` of `sparx_mm.kernels`.

    Args:
        height, width: Size of the map, of shape (1,) each.

    Returns:
        A key for each direction and position, (4, L).
    """
    i = op.Unsqueeze(op.Range(0, op.Squeeze(height), 1), [1])
    j = op.Range(0, op.Squeeze(width), 1)
    rows = op.Reshape(i * width + op.Where(i % 2 == 1, width - 1 - j, j), [1, -1])
    columns = op.Reshape(j * height + op.Where(j % 2 == 1, height - 1 - i, i), [1, -1])
    return op.Concat(rows, op.Neg(rows), columns, op.Neg(columns), axis=0)


@script(_domain, default_opset=op)
def ordered_lines(positions, orders, height, width):
    """Bring positions in the order of each direction, cut into H lines of W.

    Args:
        positions: Values at the positions of a map, (B, ..., D).
        orders: Indices of them, (4, L).
        height, width: Size of the map, of shape (1,) each.

    Returns:
        Lines, (W, B, H, 4, D).
    """
    shape = op.Concat([0], [4], height, width, [-1], axis=0)
    # (B, 4, L, D) -> (B, 4, H, W, D) -> (W, B, H, 4, D)
    lines = op.Reshape(op.Gather(positions, orders, axis=1), shape)
    return op.Transpose(lines, perm=[3, 0, 2, 1, 4])


@script(_domain, default_opset=op)
def scan_in_orders(x, dt_B_C, dt_weight, dt_bias, A, D, keys):
    """Compute `sparx_mm.kernels.ss2d` in the orders that sorting gives.

    Args:
        x, dt_B_C, dt_weight, dt_bias, A, D: As for that function.
        keys: What each direction sorts the positions by, (4, L).

    Returns:
        The map like x, and what nothing reads: the operator has two outputs.
    """
    height = op.Shape(x, start=2, end=3)
    width = op.Shape(x, start=3, end=4)
    _, orders = op.TopK(keys, height * width, axis=1, largest=0)
    # of each position in these orders
    _, places = op.TopK(orders, height * width, axis=1, largest=0)
    # (4, 1)
    k = op.Unsqueeze(op.Range(0, 4, 1), [1])
    # (B, D, H, W) -> (B, H, W, D) -> (B, L, D)
    channels = op.Shape(x, start=1, end=2)
    flat = op.Concat([0], [-1], channels, axis=0)
    u = op.Reshape(op.Transpose(op.Cast(x, to=1), perm=[0, 2, 3, 1]), flat)
    # (B, H, W, 4, R + 2N) -> (B, 4 L, R + 2N)
    p = op.Reshape(op.Cast(dt_B_C, to=1), op.Concat([0], [-1], op.Shape(dt_B_C, start=4), axis=0))
    y = scan_projected(
        ordered_lines(u, orders, height, width),
        ordered_lines(p, orders * 4 + k, height, width),
        dt_weight,
        dt_bias,
        A,
    )
    # (W, B, H, 4, D) -> (B, 4, H, W, D) -> (B, 4 L, D) -> (B, 4, L, D) -> (B, L, D)
    sequences = op.Reshape(op.Transpose(y, perm=[1, 3, 2, 0, 4]), flat)
    back = op.Gather(sequences, places + k * (height * width), axis=1)
    y_all = op.ReduceSum(back, [1], keepdims=0) + op.ReduceSum(D, [0], keepdims=0) * u
    # (B, L, D) -> (B, D, L) -> (B, D, H, W)
    y_map = op.Reshape(op.Transpose(y_all, perm=[0, 2, 1]), op.Shape(x))
    return op.CastLike(y_map, x), op.Identity(A)


@script(_domain, default_opset=op)
def ss2d_diagonal(x, dt_B_C, dt_weight, dt_bias, A, D):
    """Compute `sparx_mm.kernels.ss2d` with diagonal orders.

    Args:
        x, dt_B_C, dt_weight, dt_bias, A, D: As for that function.

    Returns:
        The results of `scan_in_orders`.
    """
    keys = diagonal_keys(op.Shape(x, start=2, end=3), op.Shape(x, start=3, end=4))
    y, unread = scan_in_orders(x, dt_B_C, dt_weight, dt_bias, A, D, keys)
    return y, unread


@script(_domain, default_opset=op)
def ss2d_snake(x, dt_B_C, dt_weight, dt_bias, A, D):
    """Compute `sparx_mm.kernels.ss2d` along snakes.

    Args:
        x, dt_B_C, dt_weight, dt_bias, A, D: As for that function.

    Returns:
        The results of `scan_in_orders`.
    """
    keys = snake_keys(op.Shape(x, start=2, end=3), op.Shape(x, start=3, end=4))
    y, unread = scan_in_orders(x, dt_B_C, dt_weight, dt_bias, A, D, keys)
    return y, unread


@script(_domain, default_opset=op)
def in_lines(x, padding, shape):
    """Cut sequences into lines.

    Args:
        x: Sequences, (B, ., L) or (B, G, ., L).
        padding: What their length lacks of the lines, (1,).
        shape: B, G, -1, lines and P, in a tensor.

    Returns:
        Lines, (P, B, lines, G, .).
    """
    long = op.Reshape(op.Cast(x, to=1), op.Concat([0], [-1], op.Shape(x, start=-1), axis=0))
    padded = op.Pad(long, op.Concat([0, 0, 0, 0, 0], padding, axis=0))
    # (B, ., P * lines) -> (B, G, ., lines, P)
    return op.Transpose(op.Reshape(padded, shape), perm=[4, 0, 3, 1, 2])


@script(_domain, default_opset=op)
def scan_sequences(u, delta, A, B, C, D):
    """Scan sequences, cut into as many lines as each has positions.

    Args:
        u, delta: Inputs and step sizes, (B, D, L).
        A, B, C, D: As for `sparx_mm.kernels.selective_scan`, with groups.

    Returns:
        Outputs like u, and what nothing reads: the operator has two outputs.
    """
    length = op.Shape(u, start=2)
    side = op.Cast(op.Ceil(op.Sqrt(op.Cast(length, to=1))), to=7)
    # where delta is 0, the state stays
    padding = side * side - length
    groups = op.Shape(B, start=1, end=2)
    shape = op.Concat([0], groups, [-1], side, side, axis=0)
    rates = op.Reshape(A, op.Concat(groups, [-1], op.Shape(A, start=1), axis=0))
    y = scan_lines(
        in_lines(u, padding, shape),
        in_lines(delta, padding, shape),
        rates,
        in_lines(B, padding, shape),
        in_lines(C, padding, shape),
    )
    # (P, B, lines, G, D) -> (B, G, D, lines, P) -> (B, G * D, L)
    merged = op.Concat([0], op.Shape(D), [-1], axis=0)
    flat = op.Reshape(op.Transpose(y, perm=[1, 3, 4, 2, 0]), merged)
    y_all = op.Slice(flat, [0], length, [2]) + op.Unsqueeze(D, [1]) * op.Cast(u, to=1)
    return op.CastLike(y_all, u), op.Identity(A)


@script(_domain, default_opset=op)
def scan_with_softplus(u, delta, A, B, C, D, delta_bias):
    """Compute the operator `selective_scan` for step sizes before softplus.

    Args:
        u, delta, A, B, C, D, delta_bias: As for `sparx_mm.kernels.selective_scan`, with groups.

    Returns:
        The results of `scan_sequences`.
    """
    z = op.Cast(delta, to=1) + op.Unsqueeze(delta_bias, [1])
    y, unread = scan_sequences(u, step_sizes(z), A, B, C, D)
    return y, unread


@script(_domain, default_opset=op)
def scan_of_sizes(u, delta, A, B, C, D, delta_bias):
    """Compute the operator `selective_scan` for step sizes as they are.

    Args:
        u, delta, A, B, C, D, delta_bias: As for `sparx_mm.kernels.selective_scan`, with groups.

    Returns:
        The results of `scan_sequences`.
    """
    z = op.Cast(delta, to=1) + op.Unsqueeze(delta_bias, [1])
    y, unread = scan_sequences(u, z, A, B, C, D)
    return y, unread


# what the operators become, all with two outputs
OPERATORS = (ss2d_cross, ss2d_diagonal, ss2d_snake, scan_with_softplus, scan_of_sizes)
