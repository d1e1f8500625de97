"""The scan of maps in other orders than along rows and columns."""

import functools
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sparx_mm.kernels import selective_scan, ss2d
from sparx_mm.kernels.ss2d import torch as ss2d_torch
from sparx_mm.kernels.ss2d.orders import (
    ORDERS,
    cross_orders,
    diagonal_orders,
    order_table,
    snake_orders,
    snake_places,
)
from sparx_mm.kernels.ss2d.reference import ss2d as reference
from sparx_mm.kernels.testing import map_arguments, run_backend

# of the largest value of a tensor, as in test_ss2d.py
TOLERANCES = {torch.float64: 1e-12, torch.float32: 5e-6}

diagonal = functools.partial(ss2d, orders='diagonal')
diagonal_reference = functools.partial(reference, orders='diagonal')

# those that are read from a table
TABLES = [name for name in ORDERS if name != 'cross']

# batch, channels, height, width, rank, state: single rows and columns, odd maps, N of
# VMamba's first release, several blocks of channels
SIZES = [
    (1, 1, 1, 1, 1, 1),
    (1, 4, 1, 63, 1, 1),
    (1, 4, 64, 1, 1, 1),
    (2, 17, 5, 13, 5, 1),
    (1, 16, 8, 8, 4, 3),
    (3, 33, 7, 3, 6, 16),
    (1, 464, 3, 4, 13, 1),
]


def test_cross_orders():
    assert cross_orders(2, 3).tolist() == [
        [0, 1, 2, 3, 4, 5],
        [0, 3, 1, 4, 2, 5],
        [5, 4, 3, 2, 1, 0],
        [5, 2, 4, 1, 3, 0],
    ]


SIDES = [(1, 1), (1, 7), (7, 1), (5, 3), (4, 9), (6, 6)]


@pytest.mark.parametrize('height, width', SIDES)
def test_diagonal_orders(height, width):
    cells = [(i, j) for i in range(height) for j in range(width)]
    keys = [
        lambda i, j: (i, j),
        lambda i, j: (j, i),
        lambda i, j: (i + j, i),
        lambda i, j: (i - j, i),
    ]
    wanted = [[i * width + j for i, j in sorted(cells, key=lambda c: key(*c))] for key in keys]
    assert diagonal_orders(height, width).tolist() == wanted


@pytest.mark.parametrize('height, width', SIDES)
def test_snake_orders(height, width):
    numbers = [[i * width + j for j in range(width)] for i in range(height)]
    paths = []
    for lines in (numbers, zip(*numbers)):
        path = [n for k, line in enumerate(lines) for n in (line[::-1] if k % 2 else line)]
        paths += [path, path[::-1]]
    orders = snake_orders(height, width)
    assert orders.tolist() == paths
    assert snake_places(height, width).equal(orders.argsort(1))


def scan_of_permuted_copies(x, dt_B_C, dt_weight, dt_bias, A, D, orders):
    """Copy the map in four orders, scan the copies as sequences, bring them back and sum."""
    batch, channels, height, width = x.shape
    rank, state = dt_weight.shape[-1], A.shape[-1]
    order = ORDERS[orders](height, width)
    # (B, D, H, W) -> (B, D, 4, L) -> (B, 4, D, L)
    u = x.flatten(2)[:, :, order].transpose(1, 2)
    # (B, H, W, 4, R + 2N) -> (B, L, 4, R + 2N) -> (B, 4, R + 2N, L)
    low = torch.stack([dt_B_C.flatten(1, 2)[:, o, k] for k, o in enumerate(order)], 1)
    dt, B, C = low.transpose(2, 3).split([rank, state, state], 2)
    y = selective_scan(
        u.flatten(1, 2),
        (dt_weight @ dt).flatten(1, 2),
        A.flatten(0, 1),
        B,
        C,
        D.flatten(),
        dt_bias.flatten(),
        delta_softplus=True,
    )
    # (B, 4 D, L) -> (B, 4, D, L), then each direction back to the map
    y = y.unflatten(1, (4, channels))
    return sum(y[:, k, :, o.argsort()] for k, o in enumerate(order)).view_as(x)


@pytest.mark.parametrize('orders', ORDERS)
@pytest.mark.parametrize('size', SIZES)
def test_is_the_scan_of_permuted_copies(size, orders, evaluate, assert_near):
    inputs = map_arguments(*size)
    wanted = evaluate(lambda *t: scan_of_permuted_copies(*t, orders), inputs)
    given = evaluate(lambda *t: ss2d(*t, orders), inputs)
    assert_near(given, wanted, TOLERANCES[torch.float64])


@pytest.mark.parametrize('dtype', TOLERANCES)
@pytest.mark.parametrize('size', SIZES[:-1])
@pytest.mark.parametrize('orders', TABLES)
def test_output_and_every_gradient_are_those_of_the_loop(
    orders, size, dtype, evaluate, assert_near
):
    inputs = map_arguments(*size)
    wanted = evaluate(functools.partial(reference, orders=orders), inputs)
    given = evaluate(functools.partial(ss2d, orders=orders), [t.to(dtype) for t in inputs])
    assert all(t.dtype == dtype for t in given)
    assert_near(given, wanted, TOLERANCES[dtype])


# as batches divide by the threads or not
@pytest.mark.parametrize('threads', [2, 3])
@pytest.mark.parametrize('batch', [1, 2, 3])
def test_any_number_of_threads(batch, threads, evaluate, assert_near):
    inputs = map_arguments(batch, 464, 8, 6, 5, 1)
    wanted = evaluate(lambda *t: run_backend(ss2d_torch, *t, 'diagonal'), inputs)
    torch.set_num_threads(threads)
    given, again = (evaluate(diagonal, [t.float() for t in inputs]) for _ in range(2))
    assert_near(given, wanted, TOLERANCES[torch.float32])
    assert all(torch.equal(a, b) for a, b in zip(given, again))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_16_bit_inputs(dtype, evaluate, assert_near):
    inputs = map_arguments(2, 20, 5, 6, 3, 1, torch.float32)
    inputs[:2] = [t.to(dtype) for t in inputs[:2]]
    wanted = evaluate(diagonal_reference, inputs)
    given = evaluate(diagonal, inputs)
    assert [t.dtype for t in given] == [dtype] * 3 + [torch.float32] * 4
    # a rounding of the result to the dtype, no more: the state is float32
    assert_near(given, wanted, torch.finfo(dtype).eps)


@pytest.mark.parametrize('dtype', TOLERANCES)
def test_memory_format_is_kept(dtype, evaluate, assert_near):
    inputs = map_arguments(2, 5, 3, 4, 2, 1, dtype)
    wanted = evaluate(diagonal, inputs)
    channels_last = [inputs[0].to(memory_format=torch.channels_last), *inputs[1:]]
    given = evaluate(diagonal, channels_last)
    assert_near(given, wanted, 1e-6)
    for t in given[:2]:
        assert t.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize('dtype', TOLERANCES)
def test_opcheck(dtype):
    inputs = [t.requires_grad_() for t in map_arguments(2, 5, 3, 4, 2, 2, dtype)]
    torch.library.opcheck(torch.ops.sparx_mm.ss2d.default, [*inputs, 'diagonal'])


@pytest.mark.parametrize('dtype', TOLERANCES)
def test_programs_exported_without_orders_still_run(dtype, evaluate):
    inputs = map_arguments(1, 5, 3, 4, 2, 1, dtype)
    given = evaluate(lambda *t: torch.ops.sparx_mm.ss2d(*t)[0], inputs)
    assert all(torch.equal(a, b) for a, b in zip(given, evaluate(ss2d, inputs)))


def test_compiles_whole_with_dynamic_sizes(evaluate, assert_near):
    compiled = torch.compile(diagonal, backend='aot_eager', fullgraph=True, dynamic=True)
    for size in [(2, 5, 3, 4, 2, 1), (3, 5, 6, 7, 2, 1)]:
        inputs = map_arguments(*size, torch.float32)
        assert_near(evaluate(compiled, inputs), evaluate(diagonal, inputs), 0)


class Permute(torch.nn.Module):
    def __init__(self, orders):
        super().__init__()
        self.orders = ORDERS[orders]

    def forward(self, x):
        height, width = x.shape[2:]
        return x.flatten(2)[:, :, self.orders(height, width, x.device)[3]]


@pytest.mark.parametrize('orders', TABLES)
def test_orders_and_scans_export_with_dynamic_sizes(orders):
    permute = Permute(orders)

    class Scan(torch.nn.Module):
        def forward(self, *inputs):
            return permute(ss2d(*inputs, orders=orders))

    inputs = map_arguments(2, 5, 3, 4, 2, 1, torch.float32)
    height, width = map(torch.export.Dim, ['h', 'w'])
    program = torch.export.export(
        Scan(),
        tuple(inputs),
        dynamic_shapes=(({2: height, 3: width}, {1: height, 2: width}, {}, {}, {}, {}),),
    )
    inputs = map_arguments(2, 5, 7, 6, 2, 1, torch.float32)
    assert torch.equal(program.module()(*inputs), Scan()(*inputs))


def test_first_call_in_inference_mode_serves_a_training_later(evaluate, assert_near):
    # of a size that no other test has, because tables are kept
    inputs = map_arguments(1, 5, 2, 11, 2, 1, torch.float32)
    with torch.inference_mode():
        diagonal(*inputs)
    assert_near(evaluate(diagonal, inputs), evaluate(diagonal_reference, inputs), 5e-6)


def test_a_captured_graph_has_a_table_of_its_own(monkeypatch):
    """Because it reads it again when sizes since then have driven it out."""
    kept, again = (order_table('diagonal', 3, 5, torch.device('cpu')) for _ in range(2))
    assert kept is again
    # there is no GPU to capture on
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: True)
    monkeypatch.setitem(ORDERS, 'diagonal', lambda *size: diagonal_orders(*size[:2]))
    own, again = (order_table('diagonal', 3, 5, SimpleNamespace(type='cuda')) for _ in range(2))
    assert own is not again and own.dtype == kept.dtype and torch.equal(own, kept)


# along snakes, step sizes are counted once
@pytest.mark.parametrize('orders, projections', [('cross', 4), ('diagonal', 4), ('snake', 1)])
def test_flops(orders, projections):
    inputs = map_arguments(2, 8, 3, 5, 4, 2, torch.float32)
    with FlopCounterMode(display=False) as counter:
        ss2d(*inputs, orders=orders)
    assert counter.get_total_flops() == 2 * 2 * 15 * 8 * (4 * (9 * 2 + 1) + projections * 4)


@pytest.mark.parametrize('shape', [(0, 3, 4, 5), (2, 3, 0, 5)])
@pytest.mark.parametrize('dtype', TOLERANCES)
def test_empty_maps(shape, dtype, evaluate):
    y, *gradients = evaluate(diagonal, map_arguments(*shape, 2, 1, dtype))
    assert y.shape == shape
    assert all(not t.any() for t in gradients)


def test_unknown_orders():
    inputs = map_arguments(1, 3, 4, 5, 2, 1, torch.float32)
    with pytest.raises(
        ValueError, match="ss2d: orders must be one of cross, diagonal, snake, got 'spiral'"
    ):
        ss2d(*inputs, orders='spiral')
