"""The four-direction scan: every form against the definition."""

import functools
import inspect
from importlib import import_module

import pytest
import torch
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from sparx_mm.kernels import ss2d
from sparx_mm.kernels.ss2d import torch as ss2d_torch
from sparx_mm.kernels.ss2d.reference import ss2d as reference
from sparx_mm.kernels.testing import map_arguments, run_backend

# of the largest value of a tensor. float64: nothing but rounding.
# float32: the polynomials err by 2e-7, sums of thousands of terms are taken
# in another order
TOLERANCES = {torch.float64: 1e-12, torch.float32: 5e-6}

two_level = functools.partial(run_backend, ss2d_torch)

# batch, channels, height, width, rank, state: both sides of the length of a
# vector and of a block of channels, single rows and columns, odd maps
SIZES = [
    (1, 1, 1, 1, 1, 1),
    (2, 3, 1, 1, 2, 2),
    (1, 4, 1, 63, 1, 1),
    (1, 4, 64, 1, 1, 1),
    (2, 17, 5, 13, 5, 1),
    (1, 16, 8, 8, 4, 3),
    (3, 33, 7, 3, 6, 16),
    (1, 200, 3, 4, 13, 1),
    (1, 1024, 2, 3, 64, 1),
]


@pytest.mark.parametrize('dtype', TOLERANCES)
@pytest.mark.parametrize('size', SIZES)
def test_output_and_every_gradient_are_those_of_the_loop(size, dtype, evaluate, assert_near):
    inputs = map_arguments(*size)
    wanted = evaluate(reference, inputs)
    given = evaluate(ss2d, [t.to(dtype) for t in inputs])
    assert all(t.dtype == dtype for t in given)
    assert_near(given, wanted, TOLERANCES[dtype])


@pytest.mark.parametrize('size', SIZES)
def test_plain_torch_form_in_float32(size, evaluate, assert_near):
    inputs = map_arguments(*size)
    wanted = evaluate(reference, inputs)
    given = evaluate(two_level, [t.float() for t in inputs])
    assert_near(given, wanted, TOLERANCES[torch.float32])


# maps that directions add to, and partial gradients of channels and of positions
@pytest.mark.parametrize('shares', [(1, 1), (2, 2), (2, 3), (3, 2), (1, 7)])
@pytest.mark.parametrize('sets', [1, 2])
@pytest.mark.parametrize('orders', ['cross', 'diagonal'])
def test_every_way_to_share_the_work(orders, sets, shares, evaluate, assert_near, monkeypatch):
    inputs = map_arguments(3, 70, 4, 3, 2, 1)
    scan = functools.partial(ss2d, orders=orders)
    wanted = evaluate(scan, inputs)
    module = import_module('sparx_mm.kernels.ss2d.numba')
    monkeypatch.setattr(module, '_direction_sets', lambda *sizes: sets)
    monkeypatch.setattr(module, 'backward_shares', lambda *sizes: shares)
    monkeypatch.setattr(module, 'num_threads', lambda work: 2)
    given = evaluate(scan, [t.float() for t in inputs])
    assert_near(given, wanted, TOLERANCES[torch.float32])


# wide enough for several blocks with a ragged last one
@pytest.mark.parametrize('threads', [1, 2, 3])
@pytest.mark.parametrize('batch', [1, 2, 3])
def test_any_number_of_threads(batch, threads, evaluate, assert_near):
    inputs = map_arguments(batch, 464, 8, 6, 5, 1)
    wanted = evaluate(two_level, inputs)
    torch.set_num_threads(threads)
    given = evaluate(ss2d, [t.float() for t in inputs])
    again = evaluate(ss2d, [t.float() for t in inputs])
    assert_near(given, wanted, TOLERANCES[torch.float32])
    # no atomics, no races
    assert all(torch.equal(a, b) for a, b in zip(given, again))


def test_long_scan_stays_accurate(evaluate, assert_near):
    """20,000 steps, hardly any decay: errors would add up."""
    inputs = map_arguments(1, 2, 100, 200, 1, 1)
    inputs[3] -= 8
    wanted = evaluate(ss2d, inputs)
    given = evaluate(ss2d, [t.float() for t in inputs])
    # sums of 20,000 terms in float32
    assert_near(given, wanted, 5e-5)


def test_gradcheck():
    inputs = map_arguments(1, 2, 2, 3, 2, 2)
    assert torch.autograd.gradcheck(ss2d, [t.requires_grad_() for t in inputs])


def layouts(inputs):
    """Lay the same inputs out in three ways."""
    x, dt_B_C, *parameters = inputs
    sparse = torch.stack([x, x], -1).flatten(3)[..., ::2]
    return {
        'contiguous': inputs,
        'channels_last': [x.to(memory_format=torch.channels_last), dt_B_C, *parameters],
        'strided': [
            sparse,
            dt_B_C.transpose(1, 2).contiguous().transpose(1, 2),
            *(t.transpose(0, 1).contiguous().transpose(0, 1) for t in parameters),
        ],
    }


@pytest.mark.parametrize('dtype', TOLERANCES)
@pytest.mark.parametrize('layout', ['contiguous', 'channels_last', 'strided'])
def test_opcheck(layout, dtype):
    inputs = layouts(map_arguments(2, 5, 3, 4, 2, 2, dtype))[layout]
    inputs = [t.detach().requires_grad_() for t in inputs]
    torch.library.opcheck(torch.ops.sparx_mm.ss2d.default, inputs)


@pytest.mark.parametrize('dtype', TOLERANCES)
def test_memory_format_is_kept(dtype, evaluate, assert_near):
    inputs = map_arguments(2, 5, 3, 4, 2, 1, dtype)
    wanted = evaluate(ss2d, inputs)
    for layout, arguments in layouts(inputs).items():
        given = evaluate(ss2d, arguments)
        assert_near(given, wanted, 1e-6)
        memory_format = (
            torch.channels_last if layout == 'channels_last' else torch.contiguous_format
        )
        assert given[0].is_contiguous(memory_format=memory_format)
        assert given[1].is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize('wanted', range(6))
def test_gradient_of_one_input_alone(wanted, evaluate):
    inputs = map_arguments(1, 5, 3, 4, 2, 1, torch.float32)
    dy = torch.randn_like(inputs[0])
    every = evaluate(ss2d, inputs, dy)[1:]
    inputs[wanted].requires_grad_()
    ss2d(*inputs).backward(dy)
    for i, t in enumerate(inputs):
        assert (t.grad is not None) == (i == wanted)
    assert torch.equal(inputs[wanted].grad, every[wanted])


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('where', ['x', 'dt', 'B', 'C'])
@pytest.mark.parametrize('dtype', TOLERANCES)
def test_non_finite_values_reach_the_output(dtype, where, value):
    inputs = map_arguments(1, 18, 4, 5, 3, 1, dtype)
    if where == 'x':
        inputs[0][0, 3, 1, 2] = value
    else:
        inputs[1][0, 1, 2, :, dict(dt=1, B=3, C=4)[where]] = value
    wanted = reference(*inputs).isfinite()
    given = ss2d(*inputs)
    plain = ss2d_torch.forward(*inputs)[0]
    # z = -inf is a step of zero: a finite result
    assert where == 'dt' or not wanted.all()
    assert torch.equal(given.isfinite(), wanted)
    assert torch.equal(plain.isfinite(), wanted)


@pytest.mark.parametrize('bias', [-100.0, -20.0, -8.0, 0.0, 20.0, 40.0, 200.0])
def test_step_sizes_far_from_one(bias, evaluate, assert_near):
    inputs = map_arguments(1, 18, 4, 5, 3, 1)
    inputs[3] += bias
    wanted = evaluate(reference, inputs)
    given = evaluate(ss2d, [t.float() for t in inputs])
    # what underflows to zero in float32 has no relative error
    for a, b in zip(given, wanted):
        error = (a - b).abs().max().item()
        assert error <= max(1e-5 * b.abs().max().item(), 1e-30)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_16_bit_inputs(dtype, evaluate, assert_near):
    inputs = map_arguments(2, 20, 5, 6, 3, 1, torch.float32)
    inputs[:2] = [t.to(dtype) for t in inputs[:2]]
    wanted = evaluate(reference, inputs)
    given = evaluate(ss2d, inputs)
    assert [t.dtype for t in given] == [dtype] * 3 + [torch.float32] * 4
    # a rounding of the result to the dtype, no more: the state is float32
    assert_near(given, wanted, torch.finfo(dtype).eps)


@pytest.mark.parametrize('shape', [(0, 3, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0)])
@pytest.mark.parametrize('backend', ['auto', 'torch'])
@pytest.mark.parametrize('dtype', TOLERANCES)
def test_empty_maps(shape, dtype, backend, evaluate, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', backend)
    inputs = map_arguments(*shape, 2, 1, dtype)
    y, *gradients = evaluate(ss2d, inputs)
    assert y.shape == reference(*inputs).shape == shape
    assert all(not t.any() for t in gradients)


@pytest.mark.parametrize(
    'index, replacement, message',
    [
        (0, torch.zeros(1, 3, 4), r'x must be \(B, D, H, W\), got \(1, 3, 4\)'),
        (
            1,
            torch.zeros(1, 4, 5, 4, 3),
            r'dt_B_C must be \(B=1, H=4, W=5, 4, R \+ 2N=4\), got \(1, 4, 5, 4, 3\)',
        ),
        (2, torch.zeros(4, 5, 2), r'dt_weight must be \(4, D=3, R\)'),
        (2, torch.zeros(4, 3, 0), 'R must be at least 1, got 0'),
        (4, torch.zeros(4, 3, 0), 'N must be at least 1, got 0'),
        (3, torch.zeros(3, 3), r'dt_bias must be \(4, D=3\), got \(3, 3\)'),
        (4, None, 'A must be a tensor, got NoneType'),
        (
            5,
            torch.zeros(4, 3).double(),
            'D must be torch.float32 with a torch.float32 x, got torch.float64',
        ),
        (
            0,
            torch.zeros(1, 3, 4, 5).long(),
            'x must be float16, bfloat16, float32 or float64, got torch.int64',
        ),
        (1, torch.zeros(1, 4, 5, 4, 4, device='meta'), 'dt_B_C must be on cpu like x, got meta'),
    ],
)
def test_bad_arguments(index, replacement, message):
    inputs = map_arguments(1, 3, 4, 5, 2, 1, torch.float32)
    inputs[index] = replacement
    with pytest.raises(ValueError, match='ss2d: ' + message):
        ss2d(*inputs)


def test_flops():
    inputs = map_arguments(2, 8, 3, 5, 4, 2, torch.float32)
    inputs[0].requires_grad_()
    with FlopCounterMode(display=False) as counter:
        y = ss2d(*inputs)
    forward = 2 * 4 * 2 * 15 * 8 * (9 * 2 + 1 + 4)
    assert counter.get_total_flops() == forward
    with FlopCounterMode(display=False) as counter:
        y.sum().backward()
    assert counter.get_total_flops() == 2 * forward


def test_compiles_whole_with_dynamic_sizes(evaluate, assert_near):
    compiled = torch.compile(ss2d, backend='aot_eager', fullgraph=True, dynamic=True)
    for size in [(2, 5, 3, 4, 2, 1), (3, 5, 6, 7, 2, 1)]:
        inputs = map_arguments(*size, torch.float32)
        assert_near(evaluate(compiled, inputs), evaluate(ss2d, inputs), 0)


def test_exports_with_dynamic_sizes():

    class Scan(torch.nn.Module):
        def forward(self, *inputs):
            return ss2d(*inputs)

    inputs = map_arguments(2, 5, 3, 4, 2, 1, torch.float32)
    batch, height, width = map(torch.export.Dim, ['b', 'h', 'w'])
    program = torch.export.export(
        Scan(),
        tuple(inputs),
        dynamic_shapes=(
            ({0: batch, 2: height, 3: width}, {0: batch, 1: height, 2: width}, {}, {}, {}, {}),
        ),
    )
    inputs = map_arguments(4, 5, 7, 6, 2, 1, torch.float32)
    assert torch.equal(program.module()(*inputs), ss2d(*inputs))


def test_checkpointing(evaluate, assert_near):
    inputs = map_arguments(1, 5, 3, 4, 2, 1, torch.float32)
    given = evaluate(lambda *t: checkpoint(ss2d, *t, use_reentrant=False), inputs)
    assert_near(given, evaluate(ss2d, inputs), 0)


@pytest.mark.slow
def test_no_fourfold_copy_of_the_map(run_python):
    """Peak memory of a pass, of whatever origin, counted in maps.

    Forward leaves y and backward leaves dx; beside them there are dy, the
    partial gradients of dt_B_C and a little scratch. A single (4, D, L) temporary
    is four maps.
    """
    code = inspect.cleandoc("""
        import torch
        from sparx_mm.kernels import ss2d

        def inputs(side, channels=192, rank=6):
            x = torch.randn(1, channels, side, side)
            t = (x.to(memory_format=torch.channels_last),
                 torch.randn(1, side, side, 4, rank + 2),
                 torch.randn(4, channels, rank), torch.randn(4, channels) - 5,
                 -torch.ones(4, channels, 1), torch.ones(4, channels))
            return [a.requires_grad_() for a in t]

        def memory(key):
            with open('/proc/self/status') as file:
                return next(1024 * int(line.split()[1]) for line in file
                            if line.startswith(key))

        def both(inputs, dy):
            return torch.autograd.grad(ss2d(*inputs), inputs, dy)

        torch.set_num_threads(2)
        small = inputs(16)
        both(small, torch.ones_like(small[0]))
        large = inputs(256)
        dy = torch.randn_like(large[0])
        before = memory('VmRSS')
        both(large, dy)
        print((memory('VmHWM') - before) / (4 * dy.numel()))
    """)
    maps = float(run_python(code))
    assert maps < 3.5, maps
