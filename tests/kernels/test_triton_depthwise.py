"""The Triton kernels of the depthwise convolution against its definition.

On a GPU or interpreted, as test_triton.py; test_triton_gpu.py has the large maps.
"""

import pytest
import torch

from sparx_mm.kernels import depthwise_conv, dispatch
from sparx_mm.kernels.depthwise_conv.reference import depthwise_conv as definition
from sparx_mm.kernels.testing import depthwise_arguments

pytestmark = pytest.mark.skipif(
    bool(dispatch.missing_triton()), reason=f'the kernels cannot run: {dispatch.missing_triton()}'
)
if not dispatch.missing_triton():
    from sparx_mm.kernels.depthwise_conv import triton as backend

# as for the norms, see test_triton_norms.py
FLOAT32 = 2e-6 if dispatch.is_interpreted() else 2e-5


@pytest.fixture(autouse=True)
def triton_backend(monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', 'triton')


@pytest.fixture
def device():
    return torch.device('cpu' if dispatch.is_interpreted() else 'cuda')


@pytest.fixture
def compare(device, evaluate, assert_near):
    """Return a function that compares the operator with its definition in float64."""

    def run(inputs, *options):
        dtype = inputs[0].dtype
        dy = torch.randn(inputs[0].shape).to(dtype)
        wanted = evaluate(lambda *t: definition(*t, *options), [t.double() for t in inputs], dy)
        given = evaluate(
            lambda *t: depthwise_conv(*t, *options), [t.to(device) for t in inputs], dy.to(device)
        )
        assert [t.dtype for t in given[1:]] == [t.dtype for t in inputs]
        # the gradient before the activation has 16 bits, too
        tolerance = FLOAT32 if dtype == torch.float32 else 2 * torch.finfo(dtype).eps
        assert_near([t.cpu() for t in given], wanted, tolerance)

    return run


# one position; maps smaller than the kernel, wider than a program, blocks that are not
# full; every activation, with and without the shortcut
@pytest.mark.parametrize(
    'size, residual, activation',
    [
        ((1, 96, 1, 1, 3), True, 'gelu'),
        ((2, 30, 3, 9, 3), True, 'none'),
        ((1, 66, 2, 17, 3), False, 'silu'),
        ((1, 6, 5, 4, 3), False, 'gelu'),
        ((1, 6, 2, 9, 5), False, 'silu'),
        ((1, 6, 3, 3, 5), True, 'none'),
        ((1, 6, 2, 3, 7), False, 'none'),
    ],
)
def test_output_and_every_gradient(size, residual, activation, compare):
    compare(depthwise_arguments(*size, torch.float32), residual, activation)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_16_bits(dtype, compare):
    compare(depthwise_arguments(1, 34, 3, 4, 3, dtype), True, 'gelu')


def test_strips_of_rows(compare, monkeypatch):
    """Each reads the rows of its neighbours, and adds up its own gradients alone."""
    monkeypatch.setattr(backend, '_SHORTEST_STRIP', 3)
    assert backend.make_strip(1, 7) == 3
    compare(depthwise_arguments(1, 6, 7, 3, 3, torch.float32), True, 'silu')


@pytest.mark.parametrize(
    'programs, height, wanted', [(3072, 56, 28), (128, 56, 8), (8000, 56, 56), (1, 1, 1)]
)
def test_plan(programs, height, wanted):
    assert backend.make_strip(programs, height) == wanted


def _between_nans(tensor):
    """Copy values and strides, with 4 KiB of NaN before and after."""
    margin = 1024
    storage = tensor.new_full((tensor.numel() + 2 * margin,), float('nan'))
    return storage.as_strided(tensor.shape, tensor.stride(), margin).copy_(tensor)


def test_reads_and_writes_only_what_is_its_own(device, evaluate):
    """Inputs lie between NaNs, and all memory is NaN before it is written."""
    assert torch.empty(3, device=device).isnan().all()
    inputs = depthwise_arguments(2, 5, 3, 4, 3, torch.float32, device)
    dy = torch.randn_like(inputs[0])

    def run(*tensors):
        return depthwise_conv(*tensors, True, 'silu')

    plain = evaluate(run, inputs, dy)
    inside = evaluate(run, [_between_nans(t) for t in inputs], _between_nans(dy))
    for a, b in zip(plain, inside):
        assert b.isfinite().all()
        assert torch.equal(a, b)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_memory_format_is_kept(layout, device, evaluate):
    x, *parameters = depthwise_arguments(1, 6, 2, 3, 3, torch.float32, device)
    wanted = evaluate(depthwise_conv, [x, *parameters], torch.ones_like(x))
    x = x.contiguous(memory_format=layout)
    given = evaluate(depthwise_conv, [x, *parameters], torch.ones_like(x))
    for a, b in zip(given, wanted):
        assert torch.equal(a, b)
    assert all(t.is_contiguous(memory_format=layout) for t in given[:2])


def test_two_runs_give_the_same_bits(device, evaluate):
    inputs = depthwise_arguments(2, 6, 4, 3, 3, torch.bfloat16, device)
    once, again = (evaluate(depthwise_conv, inputs) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, again))


def test_opcheck(device):
    inputs = depthwise_arguments(1, 6, 1, 2, 3, torch.bfloat16, device)
    torch.library.opcheck(
        torch.ops.sparx_mm.depthwise_conv.default,
        [*(t.requires_grad_() for t in inputs), False, 'none'],
    )
