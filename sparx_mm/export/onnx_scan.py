"""The scans in standard ONNX operators, as functions of an ONNX model.

A map is scanned as lines of positions. Within lines, all of them at a time, an ONNX Scan
steps over the positions from states of zero. Another one chains the lines: a line turns
its entry state h into exp(A * sum of its step sizes) h plus its own last state. What the
entry adds at a position is h times exp(A * sum of the step sizes so far), a sum of
negative numbers, so nothing overflows. H + W steps replace H * W, for any size.
"""

import onnx
from onnx import inliner
from onnxscript import graph, script
from onnxscript import opset18 as op
from onnxscript.values import Opset

DOMAIN = 'sparx_mm'
# what the names of a scan's nodes begin with
NODES = 'sparx_mm_scan/'
_domain = Opset(DOMAIN, 1)


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
def scan_both_ways(u, dt_B_C, weight, bias, A):
    """Scan lines forwards, and from the last position of the last line backwards.

    Args:
        u: Inputs of P positions of L lines, (P, B, L, D).
        dt_B_C: Low-rank projection for either way, (P, B, L, 2, R + 2N).
        weight: Weight from dt to step sizes, (2, D, R).
        bias: Bias of the step sizes, (2, D).
        A: Decay rates, (2, D, N).

    Returns:
        The sum of both scans, like u.
    """
    rank = op.Shape(weight, start=2, end=3)
    states = op.Shape(A, start=2, end=3)
    sizes = op.Concat(rank, states, states, axis=0)
    dt, B, C = op.Split(dt_B_C, sizes, axis=4)
    # (P, B, L, 2, 1, R) @ (2, R, D) -> (P, B, L, 2, 1, D) -> (P, B, L, 2, D)
    z = op.MatMul(op.Unsqueeze(dt, [4]), op.Transpose(weight, perm=[0, 2, 1]))
    delta = step_sizes(op.Squeeze(z, [4]) + bias)
    # (P, B, L, 2, N, D), channels last, over which runtimes are fast
    rates = op.Unsqueeze(delta, [4]) * op.Transpose(A, perm=[0, 2, 1])
    a = op.Exp(rates)
    b = op.Unsqueeze(delta * op.Unsqueeze(u, [3]), [4]) * op.Unsqueeze(B, [5])
    # -> (P, B, L, 1, N, D) for either way
    a0, a1 = op.Split(a, num_outputs=2, axis=3)
    b0, b1 = op.Split(b, num_outputs=2, axis=3)
    r0, r1 = op.Split(rates, num_outputs=2, axis=3)
    C0, C1 = op.Split(op.Unsqueeze(C, [5]), num_outputs=2, axis=3)
    start = op.ConstantOfShape(op.Shape(a0, start=1))

    @graph()
    def position(h0, h1, da0, db0, da1, db1):
        g0 = da0 * h0 + db0
        g1 = da1 * h1 + db1
        y0 = op.Identity(g0)
        y1 = op.Identity(g1)
        return g0, g1, y0, y1

    last0, last1, h0, h1 = op.Scan(
        start,
        start,
        a0,
        b0,
        a1,
        b1,
        body=position,
        num_scan_inputs=4,
        scan_input_directions=[0, 0, 1, 1],
        scan_output_directions=[0, 1],
    )
    # decays from the entry of a line to each of its positions
    decay0 = op.Exp(op.CumSum(r0, 0))
    decay1 = op.Exp(op.CumSum(r1, 0, reverse=1))
    # of whole lines: (B, L, 1, N, D) -> (L, B, 1, N, D)
    whole0 = op.Transpose(op.Exp(op.ReduceSum(r0, [0], keepdims=0)), perm=[1, 0, 2, 3, 4])
    whole1 = op.Transpose(op.Exp(op.ReduceSum(r1, [0], keepdims=0)), perm=[1, 0, 2, 3, 4])
    own0 = op.Transpose(last0, perm=[1, 0, 2, 3, 4])
    own1 = op.Transpose(last1, perm=[1, 0, 2, 3, 4])
    first = op.ConstantOfShape(op.Shape(own0, start=1))

    @graph()
    def line(e0, e1, da0, db0, da1, db1):
        g0 = da0 * e0 + db0
        g1 = da1 * e1 + db1
        y0 = op.Identity(e0)
        y1 = op.Identity(e1)
        return g0, g1, y0, y1

    end0, end1, entry0, entry1 = op.Scan(
        first,
        first,
        whole0,
        own0,
        whole1,
        own1,
        body=line,
        num_scan_inputs=4,
        scan_input_directions=[0, 0, 1, 1],
        scan_output_directions=[0, 1],
    )
    s0 = h0 + decay0 * op.Transpose(entry0, perm=[1, 0, 2, 3, 4])
    s1 = h1 + decay1 * op.Transpose(entry1, perm=[1, 0, 2, 3, 4])
    y = op.ReduceSum(s0 * C0 + s1 * C1, [4], keepdims=0)
    # (P, B, L, 1, D) -> (P, B, L, D)
    return op.Squeeze(y, [3])


@script(_domain, default_opset=op)
def ss2d_by_lines(x, dt_B_C, dt_weight, dt_bias, A, D):
    """Compute `sparx_mm.kernels.ss2d`, rows and columns as lines.

    Args:
        x, dt_B_C, dt_weight, dt_bias, A, D: As for that function.

    Returns:
        The map like x, and what nothing reads: the operator has two outputs.
    """
    u, p = op.Cast(x, to=1), op.Cast(dt_B_C, to=1)
    # (B, D, H, W) -> (W, B, H, D), (B, H, W, 4, K) -> (W, B, H, 2, K)
    rows = scan_both_ways(
        op.Transpose(u, perm=[3, 0, 2, 1]),
        op.Gather(op.Transpose(p, perm=[2, 0, 1, 3, 4]), [0, 2], axis=3),
        op.Gather(dt_weight, [0, 2]),
        op.Gather(dt_bias, [0, 2]),
        op.Gather(A, [0, 2]),
    )
    # -> (H, B, W, D), (H, B, W, 2, K)
    columns = scan_both_ways(
        op.Transpose(u, perm=[2, 0, 3, 1]),
        op.Gather(op.Transpose(p, perm=[1, 0, 2, 3, 4]), [1, 3], axis=3),
        op.Gather(dt_weight, [1, 3]),
        op.Gather(dt_bias, [1, 3]),
        op.Gather(A, [1, 3]),
    )
    # (D, 1, 1)
    direct = op.Unsqueeze(op.ReduceSum(D, [0], keepdims=0), [1, 2])
    y = op.Transpose(rows, perm=[1, 3, 2, 0]) + op.Transpose(columns, perm=[1, 3, 0, 2])
    return op.CastLike(y + direct * u, x), op.Identity(A)


@script(_domain, default_opset=op)
def one_line(x):
    """Join the positions of (H, W, B, ...) to (H*W, B, 1, ...)."""
    shape = op.Concat([-1], op.Shape(x, start=2, end=3), [1], op.Shape(x, start=3), axis=0)
    return op.Reshape(x, shape)


@script(_domain, default_opset=op)
def ss2d_by_positions(x, dt_B_C, dt_weight, dt_bias, A, D):
    """Compute `sparx_mm.kernels.ss2d`, the whole map as one line.

    Args:
        x, dt_B_C, dt_weight, dt_bias, A, D: As for that function.

    Returns:
        The map like x, and what nothing reads: the operator has two outputs.
    """
    u, p = op.Cast(x, to=1), op.Cast(dt_B_C, to=1)
    # (B, D, H, W) -> (H, W, B, D), (B, H, W, 4, K) -> (H, W, B, 2, K)
    rows = scan_both_ways(
        one_line(op.Transpose(u, perm=[2, 3, 0, 1])),
        one_line(op.Gather(op.Transpose(p, perm=[1, 2, 0, 3, 4]), [0, 2], axis=3)),
        op.Gather(dt_weight, [0, 2]),
        op.Gather(dt_bias, [0, 2]),
        op.Gather(A, [0, 2]),
    )
    columns = scan_both_ways(
        one_line(op.Transpose(u, perm=[3, 2, 0, 1])),
        one_line(op.Gather(op.Transpose(p, perm=[2, 1, 0, 3, 4]), [1, 3], axis=3)),
        op.Gather(dt_weight, [1, 3]),
        op.Gather(dt_bias, [1, 3]),
        op.Gather(A, [1, 3]),
    )
    direct = op.Unsqueeze(op.ReduceSum(D, [0], keepdims=0), [1, 2])
    batch, rest = op.Shape(x, end=1), op.Shape(x, start=1, end=2)
    height, width = op.Split(op.Shape(x, start=2), num_outputs=2)
    # (H*W, B, 1, D) -> (H, W, B, D) -> (B, D, H, W)
    by_rows = op.Reshape(rows, op.Concat(height, width, batch, rest, axis=0))
    by_columns = op.Reshape(columns, op.Concat(width, height, batch, rest, axis=0))
    y = op.Transpose(by_rows, perm=[2, 3, 0, 1]) + op.Transpose(by_columns, perm=[2, 3, 1, 0])
    return op.CastLike(y + direct * u, x), op.Identity(A)


SCANS = dict(lines=ss2d_by_lines, positions=ss2d_by_positions)


def add_scans(model: onnx.ModelProto, scan: str = 'lines') -> onnx.ModelProto:
    """Write the scans of an exported model in standard operators.

    Args:
        model (ModelProto): Model with nodes ``ss2d`` of the domain ``sparx_mm``.
        scan (str): One of ``SCANS``: steps over the positions of all lines at a time,
            or over all positions. Default: ``'lines'``.

    Returns:
        ModelProto: The model without them.
    """
    names = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    if not names:
        return model
    for function in (step_sizes, scan_both_ways, one_line, SCANS[scan]):
        proto = function.to_function_proto()
        if function is SCANS[scan]:
            proto.name = 'ss2d'
        for node in proto.node:
            node.name = f'{NODES}{node.name}'
        model.functions.append(proto)
    if not any(opset.domain == DOMAIN for opset in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    # shapes that torch wrote down; runtimes infer them, of the scans too
    del model.graph.value_info[:]
    return inliner.inline_local_functions(model)
