"""The general scan: every form against the definition."""

import functools
import itertools
from importlib import import_module

import pytest
import torch
from interpreted import needs_interpreter
from torch.utils.flop_counter import FlopCounterMode

from sparx_mm.kernels import selective_scan, ss2d
from sparx_mm.kernels.selective_scan import torch as scan_torch
from sparx_mm.kernels.selective_scan.reference import selective_scan as reference
from sparx_mm.kernels.testing import run_backend, sequence_arguments

# of the largest value of a tensor. float64: nothing but rounding.
# float32: the polynomials err by 2e-7, sums of thousands of terms are taken
# in another order
TOLERANCES = {torch.float64: 1e-12, torch.float32: 5e-6}

# batch, channels, length, state, groups (None: B and C without groups):
# both sides of the chunk length, of a vector and of a block of channels
SIZES = [
    (1, 1, 1, 1, None),
    (2, 6, 63, 1, 3),
    (1, 17, 64, 3, None),
    (2, 6, 65, 2, 6),
    (3, 34, 130, 16, 2),
    (1, 400, 20, 1, 1),
    (1, 2, 1000, 1, None),
]


def two_level(*inputs):
    """Run the plain torch form, grouped and with softplus."""
    return run_backend(scan_torch, *inputs, True)


@pytest.mark.parametrize('softplus', [True, False])
@pytest.mark.parametrize('dtype', TOLERANCES)
@pytest.mark.parametrize('size', SIZES)
def test_output_and_every_gradient_are_those_of_the_loop(
    size, dtype, softplus, evaluate, assert_near
):
    inputs = sequence_arguments(*size)
    if not softplus:
        # steps as given are used as they are: positive
        inputs[1], inputs[6] = inputs[1].abs(), inputs[6].abs()
    wanted = evaluate(functools.partial(reference, delta_softplus=softplus), inputs)
    given = evaluate(
        functools.partial(selective_scan, delta_softplus=softplus), [t.to(dtype) for t in inputs]
    )
    assert all(t.dtype == dtype for t in given)
    assert_near(given, wanted, TOLERANCES[dtype])


@pytest.mark.parametrize('size', [s for s in SIZES if s[-1]])
def test_plain_torch_form_in_float32(size, evaluate, assert_near):
    inputs = sequence_arguments(*size)
    wanted = evaluate(functools.partial(reference, delta_softplus=True), inputs)
    given = evaluate(two_level, [t.float() for t in inputs])
    assert_near(given, wanted, TOLERANCES[torch.float32])


@pytest.mark.parametrize('dtype', TOLERANCES)
def test_optional_arguments(dtype, evaluate, assert_near):
    inputs = sequence_arguments(2, 5, 7, 2, None)[:5]
    inputs[1] = inputs[1].abs()
    wanted = evaluate(reference, inputs)
    given = evaluate(selective_scan, [t.to(dtype) for t in inputs])
    assert_near(given, wanted, TOLERANCES[dtype])


@pytest.mark.parametrize('softplus', [True, False])
@pytest.mark.parametrize(
    'backend,size',
    [
        *itertools.product(['numba', 'torch'], SIZES[:4]),
        ('reference', SIZES[0]),
        pytest.param(
            'triton',
            (1, 2, 3, 2, None),
            marks=[
                pytest.mark.slow,
                needs_interpreter,
            ],
        ),
    ],
)
def test_gate_and_last_state(size, backend, softplus, evaluate, assert_near, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', backend)
    dtype = torch.float32 if backend in ('numba', 'triton') else torch.float64
    inputs = sequence_arguments(*size)
    if not softplus:
        inputs[1], inputs[6] = inputs[1].abs(), inputs[6].abs()
    weight = torch.randn(size[1], size[3], dtype=torch.float64)

    def joined(scan):
        def run(*inputs):
            *inputs, z = inputs
            y, last = scan(*inputs, softplus, z=z, return_last_state=True)
            # what has a gradient by both
            return y + (last * weight.to(y.dtype)).sum(-1, keepdim=True)

        return run

    inputs.append(torch.randn_like(inputs[0]))
    wanted = evaluate(joined(reference), inputs)
    inputs = [t.to(dtype) for t in inputs]
    given = evaluate(joined(selective_scan), inputs)
    assert_near(given, wanted, TOLERANCES[dtype])
    y, last = selective_scan(*inputs[:7], softplus, return_last_state=True)
    assert last.shape == (size[0], size[1], size[3]) and y.is_contiguous()


def test_a_scan_goes_on_from_the_last_state():
    """In two halves, the second with what is left of the first one's state."""
    u, delta, A, B, C, D, bias = sequence_arguments(2, 6, 40, 3, None)
    scan = functools.partial(selective_scan, delta_softplus=True)
    whole = scan(u, delta, A, B, C, D, bias)
    _, h = scan(
        u[..., :25], delta[..., :25], A, B[..., :25], C[..., :25], D, bias, return_last_state=True
    )
    steps = torch.nn.functional.softplus(delta[..., 25:] + bias[:, None]).cumsum(-1)
    left = torch.einsum(
        'bnl,bdnl->bdl', C[..., 25:], h[..., None] * (A[..., None] * steps[:, :, None]).exp()
    )
    second = scan(u[..., 25:], delta[..., 25:], A, B[..., 25:], C[..., 25:], D, bias)
    torch.testing.assert_close(second + left, whole[..., 25:])


@pytest.mark.parametrize('backend', ['auto', 'torch', 'reference'])
@pytest.mark.parametrize('with_state', [False, True])
def test_a_gate_is_put_on_outputs_before_they_are_rounded(with_state, backend, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', backend)
    inputs = sequence_arguments(1, 2, 3, 1, None, torch.float16)
    # outputs of 9e4, which float16 does not have, and a gate of 2.7e-3
    inputs[0][:], inputs[5][:], z = 3e4, 3.0, torch.full((1, 2, 3), -8.0).half()
    results = selective_scan(*inputs, delta_softplus=True, z=z, return_last_state=with_state)
    y = results[0] if with_state else results
    wanted = reference(*[t.double() for t in inputs], delta_softplus=True, z=z.double())
    assert y.dtype == torch.float16 and y.isfinite().all()
    torch.testing.assert_close(y.double(), wanted, rtol=2e-3, atol=0)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_gate_and_last_state_of_16_bits(dtype, assert_near):
    inputs = sequence_arguments(2, 20, 9, 2, None, dtype)
    z = torch.randn(2, 20, 9).to(dtype)
    options = dict(delta_softplus=True, z=z, return_last_state=True)
    (y, last), (wanted, state) = (f(*inputs, **options) for f in (selective_scan, reference))
    assert y.dtype == dtype and last.dtype == torch.float32
    assert_near([y, last], [wanted, state], 2 * torch.finfo(dtype).eps)
    # not rounded to the inputs' dtype
    torch.testing.assert_close(last, state, rtol=1e-5, atol=1e-5)


def test_last_state_of_no_position():
    y, last = selective_scan(*sequence_arguments(2, 3, 0, 4), return_last_state=True)
    assert y.shape == (2, 3, 0) and last.shape == (2, 3, 4) and not last.any()


# partial gradients of channels and of positions
@pytest.mark.parametrize('shares', [(1, 1), (2, 2), (2, 3), (3, 2), (1, 7)])
def test_every_way_to_share_the_work(shares, evaluate, assert_near, monkeypatch):
    inputs = sequence_arguments(3, 70, 9, 2, 1)
    scan = functools.partial(selective_scan, delta_softplus=True)
    wanted = evaluate(scan, inputs)
    module = import_module('sparx_mm.kernels.selective_scan.numba')
    monkeypatch.setattr(module, 'backward_shares', lambda *sizes: shares)
    monkeypatch.setattr(module, 'num_threads', lambda work: 2)
    given = evaluate(scan, [t.float() for t in inputs])
    assert_near(given, wanted, TOLERANCES[torch.float32])


# several blocks in a group, and a ragged last one
@pytest.mark.parametrize('threads', [1, 2, 3])
@pytest.mark.parametrize('batch, groups', [(1, 1), (2, 1), (3, 1), (1, 2)])
def test_any_number_of_threads(batch, groups, threads, evaluate, assert_near):
    inputs = sequence_arguments(batch, 464, 70, 4, groups)
    scan = functools.partial(selective_scan, delta_softplus=True)
    wanted = evaluate(scan, inputs)
    torch.set_num_threads(threads)
    given = evaluate(scan, [t.float() for t in inputs])
    again = evaluate(scan, [t.float() for t in inputs])
    assert_near(given, wanted, TOLERANCES[torch.float32])
    # no atomics, no races
    assert all(torch.equal(a, b) for a, b in zip(given, again))


def test_gradcheck():
    inputs = [t.requires_grad_() for t in sequence_arguments(2, 4, 3, 2, 2)]
    assert torch.autograd.gradcheck(functools.partial(selective_scan, delta_softplus=True), inputs)
    inputs[1] = inputs[1].detach().abs().requires_grad_()
    assert torch.autograd.gradcheck(selective_scan, inputs[:5])


@pytest.mark.parametrize('dtype', TOLERANCES)
@pytest.mark.parametrize('strided', [False, True])
def test_opcheck(strided, dtype):
    inputs = sequence_arguments(2, 6, 5, 2, 3, dtype)
    if strided:
        inputs = [t.transpose(0, -1).contiguous().transpose(0, -1) for t in inputs]
        inputs[5] = inputs[5].repeat_interleave(2)[::2]
    inputs = [t.detach().requires_grad_() for t in inputs]
    torch.library.opcheck(torch.ops.sparx_mm.selective_scan.default, (*inputs, True))


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('index', [0, 1, 3, 4])
@pytest.mark.parametrize('dtype', TOLERANCES)
def test_non_finite_values_reach_the_output(dtype, index, value):
    inputs = sequence_arguments(1, 18, 70, 1, 1, dtype)
    inputs[index][..., 5] = value
    wanted = reference(*inputs, True).isfinite()
    assert torch.equal(selective_scan(*inputs, True).isfinite(), wanted)
    plain = scan_torch.forward(*inputs, True)[0]
    assert torch.equal(plain.isfinite(), wanted)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_16_bit_inputs(dtype, evaluate, assert_near):
    inputs = sequence_arguments(2, 20, 9, 2, None, torch.float32)
    for i in (0, 1, 3, 4):
        inputs[i] = inputs[i].to(dtype)
    wanted = evaluate(functools.partial(reference, delta_softplus=True), inputs)
    given = evaluate(functools.partial(selective_scan, delta_softplus=True), inputs)
    assert [t.dtype for t in given[1:]] == [t.dtype for t in inputs]
    # a rounding of the result to the dtype, no more: the state is float32
    assert_near(given, wanted, torch.finfo(dtype).eps)


@pytest.mark.parametrize('shape', [(0, 3, 4), (2, 3, 0)])
@pytest.mark.parametrize('dtype', TOLERANCES)
def test_empty_sequences(shape, dtype, evaluate):
    y, *gradients = evaluate(selective_scan, sequence_arguments(*shape, 2, None, dtype))
    assert y.shape == shape
    assert all(not t.any() for t in gradients)


@pytest.mark.parametrize(
    'index, replacement, message',
    [
        (0, None, 'u must be a tensor, got NoneType'),
        (2, None, 'A must be a tensor, got NoneType'),
        (0, torch.zeros(4, 5), r'u must be \(B, D, L\), got \(4, 5\)'),
        (1, torch.zeros(1, 4, 6), r'delta must be \(B=1, D=4, L=5\)'),
        (3, torch.zeros(1, 3, 5), r'B must be \(B=1, N=2, L=5\)'),
        (3, torch.zeros(1, 3, 2, 5), 'multiple of the groups of B, got 4 and 3'),
        (4, torch.zeros(1, 1, 2, 5), r'C must be \(B=1, N=2, L=5\)'),
        (2, torch.zeros(4, 0), 'N must be at least 1, got 0'),
        (5, torch.zeros(3), r'D must be \(D=4\), got \(3\,\)'),
        (
            2,
            torch.zeros(4, 2).half(),
            'A must be torch.float32 with a torch.float32 u, got torch.float16',
        ),
    ],
)
def test_bad_arguments(index, replacement, message):
    inputs = sequence_arguments(1, 4, 5, 2, None, torch.float32)
    inputs[index] = replacement
    if replacement is not None and index == 3 and replacement.dim() == 4:
        inputs[4] = replacement
    with pytest.raises(ValueError, match='selective_scan: .*' + message):
        selective_scan(*inputs)


def test_flops():
    inputs = sequence_arguments(2, 4, 7, 3, None, torch.float32)
    inputs[0].requires_grad_()
    with FlopCounterMode(display=False) as counter:
        y = selective_scan(*inputs)
    forward = 2 * 2 * 7 * 4 * (9 * 3 + 1)
    assert counter.get_total_flops() == forward
    with FlopCounterMode(display=False) as counter:
        y.sum().backward()
    assert counter.get_total_flops() == 2 * forward


def test_compiles_whole_with_dynamic_sizes(evaluate, assert_near):
    scan = functools.partial(selective_scan, delta_softplus=True)
    compiled = torch.compile(lambda *t: scan(*t), backend='aot_eager', fullgraph=True, dynamic=True)
    for size in [(2, 4, 7, 3, None), (3, 4, 70, 3, None)]:
        inputs = sequence_arguments(*size, torch.float32)
        assert_near(evaluate(compiled, inputs), evaluate(scan, inputs), 0)


def test_four_of_them_make_the_scan_of_a_map(assert_near):
    """The two operators share no loop over directions: compare them."""
    x, dt_B_C = torch.randn(2, 6, 5, 7), torch.randn(2, 5, 7, 4, 3 + 2 * 2)
    weight, bias = torch.randn(4, 6, 3), torch.randn(4, 6)
    A, D = -torch.rand(4, 6, 2), torch.randn(4, 6)
    y = 0
    for k in range(4):

        def scanned(t, k=k):
            # (..., H, W) -> (..., L) in the order of the direction
            t = (t.transpose(-2, -1) if k % 2 else t).flatten(-2)
            return t.flip(-1) if k >= 2 else t

        low = scanned(dt_B_C[:, :, :, k].permute(0, 3, 1, 2))
        dt, B, C = low.split([3, 2, 2], 1)
        y_k = selective_scan(
            scanned(x), torch.einsum('brl,dr->bdl', dt, weight[k]), A[k], B, C, D[k], bias[k], True
        )
        y_k = y_k.flip(-1) if k >= 2 else y_k
        y = y + (
            y_k.unflatten(-1, (7, 5)).transpose(-2, -1) if k % 2 else y_k.unflatten(-1, (5, 7))
        )
    assert_near([ss2d(x, dt_B_C, weight, bias, A, D)], [y], 1e-6)
