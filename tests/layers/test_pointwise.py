"""1x1 convolutions as products: values, gradients, layout, and where torch's stay."""

import pytest
import torch
import torch.nn.functional as F

from sparx_mm.layers import pointwise

# of the largest value of a tensor: its own rounding, and that of sums of 48 or 300 terms
TOLERANCES = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}
DEVICES = [
    'cpu',
    pytest.param('cuda', marks=pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')),
]


@pytest.fixture(autouse=True)
def without_tf32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)


def arguments(device, channels_last=True):
    torch.manual_seed(0)
    x = torch.randn(3, 48, 10, 10, device=device)
    weight = torch.randn(20, 48, 1, 1, device=device)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return [x.contiguous(memory_format=layout), weight, torch.randn(20, device=device)]


def evaluate(function, inputs):
    inputs = [t.detach().requires_grad_() for t in inputs]
    y = function(*inputs)
    # of the same values in every dtype
    dy = torch.linspace(-1, 1, y.numel(), dtype=torch.float64, device=y.device).view_as(y)
    return [y, *torch.autograd.grad(y, inputs, dy.to(y.dtype))]


def operators(inputs):
    """Return the names of the operators that a convolution of 1x1 calls."""
    with torch.profiler.profile() as profile:
        pointwise(*inputs)
    return {event.key for event in profile.key_averages()}


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype', TOLERANCES)
@pytest.mark.parametrize('channels_last', [True, False])
@pytest.mark.parametrize('bias', [True, False])
def test_values_and_gradients_are_those_of_the_convolution(device, dtype, channels_last, bias):
    inputs = [t.to(dtype) for t in arguments(device, channels_last)][: 3 if bias else 2]
    given = evaluate(pointwise, inputs)
    wanted = evaluate(F.conv2d, [t.double() for t in inputs])
    assert given[0].is_contiguous(
        memory_format=torch.channels_last if channels_last else torch.contiguous_format
    )
    for i, (a, b) in enumerate(zip(given, wanted)):
        error = (a.double() - b).abs().max() / b.abs().max()
        assert error <= TOLERANCES[dtype], f'tensor {i}: {error:.2e}'


@pytest.mark.parametrize('device', DEVICES)
def test_autocast_computes_in_16_bits(device):
    x, weight, bias = arguments(device)
    with torch.autocast(device, torch.bfloat16):
        given = evaluate(pointwise, [x, weight, bias])
    wanted = evaluate(F.conv2d, [t.double() for t in (x, weight, bias)])
    assert [t.dtype for t in given] == [torch.bfloat16, *[torch.float32] * 3]
    for a, b in zip(given, wanted):
        assert (a.double() - b).abs().max() <= TOLERANCES[torch.bfloat16] * b.abs().max()


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype', TOLERANCES)
def test_only_float32_on_a_gpu_stays_a_convolution(device, dtype):
    inputs = [t.to(dtype) for t in arguments(device)]
    is_convolution = 'aten::conv2d' in operators(inputs)
    assert is_convolution == (device == 'cuda' and dtype == torch.float32)


def test_a_traced_one_stays_a_convolution():
    graph = torch.jit.trace(pointwise, tuple(arguments('cpu')), check_trace=False).graph
    assert 'aten::_convolution' in str(graph) or 'aten::conv2d' in str(graph)
    assert 'aten::linear' not in str(graph)
