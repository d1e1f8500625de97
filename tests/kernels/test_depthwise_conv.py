"""The depthwise convolution as an operator: definition, torch's own, and what is refused."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from sparx_mm.kernels import depthwise_conv, depthwise_weight_gradient
from sparx_mm.kernels.depthwise_conv.reference import ACTIVATIONS
from sparx_mm.kernels.depthwise_conv.reference import depthwise_conv as definition
from sparx_mm.kernels.testing import depthwise_arguments

every = pytest.mark.parametrize(
    'residual, activation', [(r, a) for r in (False, True) for a in ACTIVATIONS]
)


@every
@pytest.mark.parametrize('side', [1, 3, 5])
@pytest.mark.parametrize('size', [(1, 1), (2, 7)])
def test_the_definition_is_torch_s(size, side, residual, activation, evaluate, assert_near):
    inputs = depthwise_arguments(2, 6, *size, side)

    def wanted(x, weight, bias):
        z = F.conv2d(x, weight, bias, padding=side // 2, groups=6)
        return ACTIVATIONS[activation](x + z if residual else z)

    given = evaluate(lambda *t: definition(*t, residual, activation), inputs)
    assert_near(given, evaluate(wanted, inputs), 1e-12)


@every
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_plain_torch(residual, activation, layout, dtype, evaluate, assert_near):
    x, weight, bias = depthwise_arguments(2, 6, 5, 7, 3, dtype)
    inputs = [x.contiguous(memory_format=layout), weight, bias]
    doubles = [t.double() for t in inputs]
    wanted = evaluate(lambda *t: definition(*t, residual, activation), doubles)
    given = evaluate(lambda *t: depthwise_conv(*t, residual, activation), inputs)
    assert [t.dtype for t in given] == [dtype, dtype, weight.dtype, weight.dtype]
    assert all(t.is_contiguous(memory_format=layout) for t in given[:2])
    # gradients are drawn in float64 and rounded to the output's dtype
    assert_near(given, wanted, {torch.float64: 1e-12}.get(dtype, 2 * torch.finfo(dtype).eps + 2e-6))


@pytest.mark.parametrize('backend', ['auto', 'numba', 'torch', 'reference'])
def test_every_backend_on_a_cpu(backend, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', backend)
    inputs = depthwise_arguments(2, 6, 5, 7, 3, torch.float32)
    wanted = definition(*inputs, True, 'gelu')
    torch.testing.assert_close(depthwise_conv(*inputs, True, 'gelu'), wanted, rtol=1e-5, atol=1e-5)


def test_registered_as_torch_asks():
    inputs = [t.requires_grad_() for t in depthwise_arguments(2, 6, 3, 5, 3, torch.float32)]
    operator = torch.ops.sparx_mm.depthwise_conv.default
    torch.library.opcheck(operator, [*inputs, True, 'silu'])


def test_flops_are_those_of_a_convolution():
    inputs = depthwise_arguments(2, 6, 3, 5, 3, torch.float32)
    counts = []
    for function in (depthwise_conv, lambda *t: F.conv2d(*t, padding=1, groups=6)):
        with FlopCounterMode(display=False) as counter:
            function(*inputs)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize('shape', [(0, 6, 4, 5), (2, 6, 0, 5)])
def test_empty_maps(shape, evaluate):
    inputs = depthwise_arguments(*shape, 3, torch.float32)
    y, *gradients = evaluate(depthwise_conv, inputs, torch.ones_like(inputs[0]))
    assert y.shape == shape
    assert all(not t.any() for t in gradients)


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(weight=torch.ones(6, 1, 4, 4)), 'the side of the weight must be odd, got 4'),
        (dict(weight=torch.ones(6, 1, 3, 5)), r'weight must be \(C=6, 1, K, K\), got'),
        (dict(weight=torch.ones(6, 6, 3, 3)), r'weight must be \(C=6, 1, K, K\)'),
        (dict(bias=None), 'bias must be a tensor, got NoneType'),
        (dict(activation='relu'), "activation must be one of none, silu, gelu, got 'relu'"),
        (dict(bias=torch.ones(6).half()), 'bias must be torch.float32 with a torch.float32 x'),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    tensors = depthwise_arguments(2, 6, 3, 5, 3, torch.float32)
    with pytest.raises(ValueError, match=f'depthwise_conv: {message}'):
        depthwise_conv(**{**dict(zip(('x', 'weight', 'bias'), tensors)), **change})


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('backend', ['numba', 'torch'])
# channels of one block, of a ragged last one and of several; maps within the kernel too
@pytest.mark.parametrize('shape', [(1, 3, 1, 1), (2, 32, 7, 8), (3, 70, 2, 13), (1, 33, 9, 4)])
@pytest.mark.parametrize('side', [5, 7])
def test_the_weight_gradient(side, shape, backend, dtype, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', backend)
    torch.manual_seed(0)
    dy, x = (torch.randn(shape).contiguous(memory_format=torch.channels_last) for _ in range(2))
    dy, x = dy.to(dtype), x.to(dtype)
    weight = torch.zeros(shape[1], 1, side, side, dtype=torch.float64, requires_grad=True)
    y = F.conv2d(x.double(), weight, padding=side // 2, groups=shape[1])
    (wanted,) = torch.autograd.grad(y, weight, dy.double())
    given = depthwise_weight_gradient(dy, x, side)
    assert given.dtype == dtype
    # rounding of the result, and of up to 120 products before it
    tolerance = torch.finfo(dtype).eps + 1e-5
    torch.testing.assert_close(given.double(), wanted, rtol=tolerance, atol=tolerance * 10)


def test_the_weight_gradient_registers_as_torch_asks():
    dy, x = torch.randn(2, 1, 3, 5, 4)
    operator = torch.ops.sparx_mm.depthwise_weight_gradient.default
    torch.library.opcheck(operator, [dy, x, 5])


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(dy=torch.ones(1, 2, 4, 4)), r'dy must be \(B=1, C=6, H=4, W=4\), got \(1, 2, 4, 4\)'),
        (dict(dy=torch.ones(1, 6, 4, 4).double()), 'dy must be .* got torch.float64'),
        (
            dict(dy=torch.ones(1, 6, 4, 4).half()),
            'dy must be torch.float32 like x, got torch.float16',
        ),
        (dict(x=torch.ones(1, 6, 4, 4).long()), 'x must be float16.* got torch.int64'),
        (dict(dy=None), 'dy must be a tensor, got NoneType'),
        (dict(side=1), 'side must be odd and at least 3, got 1'),
        (dict(side=4), 'side must be odd and at least 3, got 4'),
    ],
)
def test_a_weight_gradient_that_does_not_fit_is_refused(change, message):
    arguments = dict(dy=torch.ones(1, 6, 4, 4), x=torch.ones(1, 6, 4, 4), side=5)
    with pytest.raises(ValueError, match=f'^depthwise_weight_gradient: {message}'):
        depthwise_weight_gradient(**{**arguments, **change})


@pytest.mark.parametrize('shape', [(0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4), (2, 3, 4, 0)])
@pytest.mark.parametrize('side', [3, 5])
@pytest.mark.parametrize('backend', ['auto', 'torch'])
def test_the_weight_gradient_of_an_empty_map(shape, side, backend, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', backend)
    gradient = depthwise_weight_gradient(torch.ones(shape), torch.ones(shape), side)
    assert gradient.shape == (shape[1], 1, side, side) and not gradient.any()
