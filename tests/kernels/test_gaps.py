"""A scan of the positions that are kept, against one that walks all positions."""

import functools

import pytest
import torch
import torch.nn.functional as F
from interpreted import needs_interpreter

from sparx_mm.kernels import selective_scan
from sparx_mm.kernels.selective_scan.reference import selective_scan as reference
from sparx_mm.kernels.testing import sequence_arguments

# of the largest value of a tensor: rounding; in float32 the polynomials err by 2e-7, and
# sums of thousands of terms are taken in another order
TOLERANCES = {torch.float64: 1e-12, torch.float32: 5e-6}
# batch, channels, positions, kept ones, states, groups: one chunk of positions and several
SIZES = [(2, 6, 9, 4, 2, 3), (3, 17, 200, 131, 3, None), (1, 2, 5, 5, 1, None), (2, 3, 8, 1, 2, 1)]

BACKENDS = [
    *(
        (*one, size)
        for size in SIZES
        for one in (
            ('reference', torch.float64),
            ('torch', torch.float64),
            ('torch', torch.float32),
            ('numba', torch.float32),
        )
    ),
    *(
        pytest.param(
            'triton',
            torch.float32,
            size,
            marks=[
                pytest.mark.slow,
                needs_interpreter,
            ],
        )
        # the interpreter takes minutes for longer ones
        for size in SIZES
        if size[2] < 20
    ),
]


def keep_some(batch, length, kept):
    """Draw ascending positions (B, k) of each image, and how many are left out before each."""
    order = torch.rand(batch, length).argsort(1)[:, :kept].sort(1).values
    return order, order.diff(dim=1, prepend=torch.full((batch, 1), -1)) - 1


def step_sizes(delta, bias):
    return F.softplus(delta + bias[:, None])


def previous(steps):
    """The step size of the kept position before each one; 0 before the first."""
    return F.pad(steps[..., :-1], (1, 0))


def scan_kept(decay, skipped, u, delta, A, B, C, D, bias):
    """The scan of kept positions alone."""
    gap = previous(step_sizes(delta, bias)) * skipped.unsqueeze(1) if decay else None
    return selective_scan(u, delta, A, B, C, D, bias, True, gap=gap)


def walk_all(decay, positions, length, u, delta, A, B, C, D, bias):
    """The reference, position by position: one that is left out has no input.

    Its step size is that of the last kept one, or 0.
    """
    steps = step_sizes(delta, bias)
    channels, states = A.shape
    # (B, k) -> (B, 1, k)
    at = positions.unsqueeze(1)

    def scatter(t):
        index = at.view(len(at), *[1] * (t.dim() - 2), -1).expand_as(t)
        return t.new_zeros(*t.shape[:-1], length).scatter(-1, index, t)

    # the number of kept positions up to each one, for the last of them
    rank = scatter(torch.ones_like(at)).cumsum(-1)
    filled = F.pad(steps, (1, 0)).gather(-1, rank.expand(-1, channels, -1))
    full = filled if decay else scatter(steps)
    y = reference(scatter(u), full, A, scatter(B), scatter(C), D)
    return y.gather(-1, at.expand_as(u))


@pytest.mark.parametrize('decay', [True, False], ids=['decay', 'copy'])
@pytest.mark.parametrize('backend, dtype, size', BACKENDS)
def test_output_and_every_gradient_are_those_of_a_walk_over_all_positions(
    backend, dtype, size, decay, evaluate, assert_near, monkeypatch
):
    monkeypatch.setenv('SPARX_MM_KERNELS', backend)
    batch, channels, length, kept, states, groups = size
    positions, skipped = keep_some(batch, length, kept)
    inputs = sequence_arguments(batch, channels, kept, states, groups)
    wanted = evaluate(functools.partial(walk_all, decay, positions, length), inputs)
    given = evaluate(functools.partial(scan_kept, decay, skipped), [t.to(dtype) for t in inputs])
    assert all(t.dtype == dtype for t in given)
    assert_near(given, wanted, TOLERANCES[dtype])


def test_gaps_of_nothing_change_nothing(assert_near):
    u, delta, A, B, C, D, _ = sequence_arguments(2, 6, 70, 2, None)
    delta = delta.abs()
    given = selective_scan(u, delta, A, B, C, D, gap=torch.zeros_like(delta))
    assert_near([given], [selective_scan(u, delta, A, B, C, D)], 1e-15)


@pytest.mark.parametrize('dtype', TOLERANCES)
def test_steps_of_0_by_softplus(dtype, evaluate):
    """A state that waits takes nothing in, and its gradients are numbers."""
    inputs = [t.to(dtype) for t in sequence_arguments(1, 2, 3, 2, None)[:5]]
    inputs[1].fill_(-1e4)
    gap = torch.zeros_like(inputs[0])
    scan = functools.partial(selective_scan, delta_softplus=True, gap=gap)
    y, *gradients = evaluate(scan, inputs)
    assert not y.any() and all(t.isfinite().all() for t in gradients)


@pytest.mark.parametrize('dtype', TOLERANCES)
def test_steps_of_0(dtype, evaluate, assert_near):
    """The gradient by a step of 0 is that of what it would take in, with a gap and without."""
    inputs = sequence_arguments(1, 2, 5, 2, None)[:5]
    inputs[1].abs_()[..., 1::2] = 0
    gap = torch.rand_like(inputs[0])
    gap[..., 1] = 0
    wanted = evaluate(functools.partial(reference, gap=gap), inputs)
    scan = functools.partial(selective_scan, gap=gap.to(dtype))
    assert_near(evaluate(scan, [t.to(dtype) for t in inputs]), wanted, TOLERANCES[dtype])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_16_bits(dtype, assert_near):
    u, delta, A, B, C, D, bias = sequence_arguments(2, 5, 9, 2, None, dtype)
    options = dict(delta_softplus=True, gap=torch.rand_like(delta), z=u, return_last_state=True)
    given = selective_scan(u, delta, A, B, C, D, bias, **options)
    wanted = reference(u, delta, A, B, C, D, bias, **options)
    assert given[0].dtype == dtype and given[1].dtype == torch.float32
    assert_near(given, wanted, 2 * torch.finfo(dtype).eps)


def test_a_gap_of_another_shape_is_refused():
    inputs = sequence_arguments(1, 4, 5, 2, None)
    with pytest.raises(ValueError, match=r'gap must be \(B=1, D=4, L=5\), got \(1, 5\)'):
        selective_scan(*inputs, gap=torch.zeros(1, 5))


@pytest.mark.parametrize(
    'backend',
    [
        'torch',
        'numba',
        'reference',
        pytest.param('triton', marks=[pytest.mark.slow, needs_interpreter]),
    ],
)
def test_an_infinite_gap_forgets(backend, evaluate, assert_near, monkeypatch):
    """Output and gradients are those of two scans, also where products of inputs exceed 1."""
    u, delta, A, B, C = sequence_arguments(1, 3, 6, 2, None, torch.float32)[:5]
    gap = torch.zeros(1, 3, 6)
    gap[..., 3] = torch.inf
    inputs = u, delta.abs(), A, 10 * B, C

    def scan_parts(u, delta, A, B, C):
        cut = [[t[..., part] for t in (u, delta, B, C)] for part in (slice(3), slice(3, None))]
        return torch.cat([reference(u, delta, A, B, C) for u, delta, B, C in cut], -1)

    wanted = evaluate(scan_parts, [t.double() for t in inputs])
    monkeypatch.setenv('SPARX_MM_KERNELS', backend)
    given = evaluate(functools.partial(selective_scan, gap=gap), inputs)
    assert_near(given, wanted, TOLERANCES[torch.float32])
