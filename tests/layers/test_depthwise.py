"""The depthwise convolution and the weight gradient of large kernels."""

import pytest
import torch
import torch.nn.functional as F
from finite_differences import FORMATS
from torch import nn

from sparx_mm.kernels import dispatch
from sparx_mm.layers import DepthwiseConv, ResidualDepthwiseConv, depthwise
from sparx_mm.layers.depthwise import _LargeConv


def _conv(kernel_size=5, dim=6):
    torch.manual_seed(0)
    conv = DepthwiseConv(dim, kernel_size)
    nn.init.normal_(conv.bias)
    return conv


def _output_and_gradients(function, *inputs):
    inputs = [t.detach().requires_grad_() for t in inputs]
    y = function(*inputs)
    generator = torch.Generator().manual_seed(1)
    dy = torch.randn(y.shape, generator=generator).to(y)
    return [y.detach(), *torch.autograd.grad(y, inputs, dy)]


# even and odd maps, smaller than the kernel too; kernels that windows fit in
# or not
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('size', [(1, 1), (1, 9), (2, 3), (7, 8), (16, 5)])
@pytest.mark.parametrize('kernel_size', [1, 3, 5, 7, 9])
def test_output_and_every_gradient(kernel_size, size, memory_format):
    conv = _conv(kernel_size)
    x = torch.randn(2, 6, *size).to(memory_format=memory_format)
    given = _output_and_gradients(
        lambda *t: torch.func.functional_call(conv, dict(weight=t[1], bias=t[2]), t[0]),
        x,
        conv.weight,
        conv.bias,
    )
    wanted = _output_and_gradients(
        lambda *t: F.conv2d(*t, padding=kernel_size // 2, groups=6),
        *(t.double() for t in (x, conv.weight, conv.bias)),
    )
    for a, b in zip(given, wanted):
        # float32 sums of up to 160 products
        torch.testing.assert_close(a.double(), b, atol=2e-5, rtol=2e-5)
    assert given[0].is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize('layout, ours', [('channels_last', True), ('contiguous', False)])
@pytest.mark.parametrize(
    'make',
    [
        lambda: ResidualDepthwiseConv(6),
        lambda: DepthwiseConv(6, 3),
        lambda: DepthwiseConv(6, 5, bias=False),
    ],
)
def test_kernels_on_a_gpu(make, layout, ours, monkeypatch):
    """Channels-last maps on a GPU with Triton are ours; torch reads the others as they lie."""
    if dispatch.missing_triton():
        pytest.skip(f'the kernels cannot run: {dispatch.missing_triton()}')
    device = torch.device('cpu' if dispatch.is_interpreted() else 'cuda')
    torch.manual_seed(0)
    conv = make().to(device)
    x = torch.randn(1, 6, 2, 3, device=device).contiguous(memory_format=FORMATS[layout])
    used, results = [], []
    run = depthwise.depthwise_conv
    monkeypatch.setattr(depthwise, 'depthwise_conv', lambda *t: used.append(1) or run(*t))
    for backend in ('triton', 'torch'):
        monkeypatch.setenv('SPARX_MM_KERNELS', backend)
        tensors = [x.clone().requires_grad_(), *conv.parameters()]
        y = conv(tensors[0], 'silu')
        results.append([y, *torch.autograd.grad(y, tensors, torch.ones_like(y))])
    assert len(used) == ours
    for given, wanted in zip(*results):
        torch.testing.assert_close(given, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    'kernel_size, case, ours',
    [
        (5, 'train', True),
        (7, 'train', True),
        (3, 'train', False),
        (5, 'float64', False),
        (5, 'autocast', True),
        (5, 'frozen', False),
        (5, 'no_grad', False),
    ],
)
def test_when_the_weight_gradient_is_ours(kernel_size, case, ours, monkeypatch):
    """Where the weights' gradient is wanted, and oneDNN's own is slow."""
    used = []
    apply = _LargeConv.apply
    monkeypatch.setattr(_LargeConv, 'apply', lambda *args: used.append(1) or apply(*args))
    conv = _conv(kernel_size).requires_grad_(case != 'frozen')
    x = torch.randn(2, 6, 8, 8, requires_grad=True)
    if case == 'float64':
        conv, x = conv.double(), x.double()
    with torch.autocast('cpu', torch.bfloat16, enabled=case == 'autocast'):
        with torch.set_grad_enabled(case != 'no_grad'):
            y = conv(x)
    assert bool(used) == ours
    if case != 'no_grad':
        y.float().sum().backward()
        assert (conv.weight.grad is None) == (case == 'frozen')


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_under_autocast(dtype):
    """As torch's own convolution: types and, but for rounding, values."""
    conv, x = _conv(), torch.randn(2, 6, 9, 7)
    plain = nn.Conv2d(6, 6, 5, padding=2, groups=6)
    plain.load_state_dict(conv.state_dict())
    results = []
    for function in (conv, plain):
        inputs = x.clone().requires_grad_()
        with torch.autocast('cpu', dtype):
            y = function(inputs)
        y.sum().backward()
        results.append((y, inputs.grad, *(p.grad for p in (function.weight, function.bias))))
    for a, b in zip(*results):
        assert a.dtype == b.dtype
        error = (a.float() - b.float()).abs().max()
        assert error <= 4 * torch.finfo(dtype).eps * b.abs().max()


def test_gradient_of_the_weights_alone():
    conv, x = _conv(), torch.randn(2, 6, 8, 8)
    conv(x).square().sum().backward()
    wanted = F.conv2d(x, conv.weight, conv.bias, padding=2, groups=6)
    (wanted,) = torch.autograd.grad(wanted.square().sum(), conv.weight)
    torch.testing.assert_close(conv.weight.grad, wanted, atol=1e-4, rtol=1e-4)


def test_compiles_whole_for_training():
    conv, x = _conv(), torch.randn(2, 6, 8, 8)
    compiled = torch.compile(conv, backend='aot_eager', fullgraph=True)
    gradients = []
    for function in (conv, compiled):
        conv.zero_grad()
        function(x).square().sum().backward()
        gradients.append(conv.weight.grad)
    torch.testing.assert_close(*gradients)


def test_vmap_of_a_large_weight():
    conv, x = _conv(), torch.randn(3, 2, 6, 7, 8)
    wanted = torch.stack([conv(one) for one in x])
    torch.testing.assert_close(torch.func.vmap(conv)(x), wanted)


def test_a_double_backward_of_a_large_weight_is_refused():
    conv, x = _conv(), torch.randn(1, 6, 7, 8)
    y = conv(x).square().sum()
    (gradient,) = torch.autograd.grad(y, conv.weight, create_graph=True)
    with pytest.raises(RuntimeError, match='depthwise_weight_gradient has no backward: leave out'):
        gradient.sum().backward()
