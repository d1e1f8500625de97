"""What only a GPU can show of the kernels: size, streams, several cards.

The expected values are those of plain torch in float64 on the same GPU, for
a few images at a time.
"""

import pytest
import torch

from sparx_mm.kernels import (
    depthwise_conv,
    dispatch,
    group_norm,
    layer_norm,
    selective_scan,
    ss2d,
)
from sparx_mm.kernels.depthwise_conv import torch as depthwise_torch
from sparx_mm.kernels.group_norm import torch as group_norm_torch
from sparx_mm.kernels.layer_norm import torch as layer_norm_torch
from sparx_mm.kernels.selective_scan import torch as scan_torch
from sparx_mm.kernels.ss2d import torch as ss2d_torch
from sparx_mm.kernels.testing import (
    depthwise_arguments,
    map_arguments,
    norm_arguments,
    sequence_arguments,
)

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available() or dispatch.is_interpreted() or bool(dispatch.missing_triton()),
    reason='no GPU that the kernels run on',
)

# of the largest value of a tensor; see test_triton.py. Gradients of
# parameters are sums over up to a million positions, of either sign
TOLERANCES = {
    torch.float32: 1e-4,
    torch.float16: 2 * torch.finfo(torch.float16).eps,
    torch.bfloat16: 2 * torch.finfo(torch.bfloat16).eps,
}

# several workers at once would be out of memory
large = pytest.mark.xdist_group('large')


@pytest.fixture(autouse=True)
def triton_backend(monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', 'triton')


def need_memory(elements, bytes_each):
    """Skip where the GPU is too small for so many elements of a map."""
    free, _ = torch.cuda.mem_get_info()
    if free < elements * bytes_each:
        pytest.skip(
            f'the GPU has {free >> 30} GiB free, this takes {(elements * bytes_each) >> 30}'
        )


def images(inputs, part):
    """Return the arguments for some images of a batch, a slice of it, in float64."""
    x, dt_B_C, *parameters = inputs
    return [t.double() for t in (x[part], dt_B_C[part], *parameters)]


LAST = slice(-1, None)


def assert_near(name, given, wanted, tolerance):
    error = (given.double() - wanted).abs().max().item()
    limit = tolerance * wanted.abs().max().item()
    assert error <= limit, f'{name}: {error:.2e} > {limit:.2e}'


# T's stage 0 of two detector images, and of 8 and 32 images of 1024 x 1024
@large
@pytest.mark.parametrize('dtype', TOLERANCES)
@pytest.mark.parametrize(
    'batch, height, width, orders',
    [
        (2, 200, 334, 'cross'),
        (2, 200, 334, 'diagonal'),
        (8, 256, 256, 'cross'),
        (32, 256, 256, 'cross'),
        (32, 256, 256, 'diagonal'),
    ],
)
def test_large_maps(batch, height, width, orders, dtype):
    channels = 192
    need_memory(batch * height * width * channels, 80)
    inputs = map_arguments(batch, channels, height, width, 6, 1, dtype, 'cuda')
    inputs[0] = inputs[0].to(memory_format=torch.channels_last)
    dy = torch.randn_like(inputs[0])
    inputs = [t.requires_grad_() for t in inputs]
    y = ss2d(*inputs, orders)
    dx, ddt_B_C, *dparameters = torch.autograd.grad(y, inputs, dy)
    sums = [torch.zeros_like(t, dtype=torch.float64) for t in dparameters]
    with torch.no_grad():
        for first in range(0, batch, 2):
            part = slice(first, first + 2)
            arguments = images(inputs, part)
            wanted, states = ss2d_torch.forward(*arguments, orders)
            assert_near(f'y from {first}', y[part], wanted, TOLERANCES[dtype])
            wanted = ss2d_torch.backward(dy[part].double(), states, *arguments, orders)
            assert_near(f'dx from {first}', dx[part], wanted[0], TOLERANCES[dtype])
            assert_near(f'ddt_B_C from {first}', ddt_B_C[part], wanted[1], TOLERANCES[dtype])
            for total, added in zip(sums, wanted[2:]):
                total += added
    for i, (given, wanted) in enumerate(zip(dparameters, sums)):
        assert_near(f'parameter {i}', given, wanted, TOLERANCES[dtype])


@pytest.mark.parametrize('dtype', TOLERANCES)
def test_two_runs_give_the_same_bits(dtype):
    inputs = map_arguments(2, 384, 100, 160, 12, 1, dtype, 'cuda')
    inputs = [t.requires_grad_() for t in inputs]
    dy = torch.randn_like(inputs[0])
    once, again = ([y, *torch.autograd.grad(y, inputs, dy)] for y in (ss2d(*inputs), ss2d(*inputs)))
    assert all(torch.equal(a, b) for a, b in zip(once, again))


def huge_arguments(batch, side):
    """Make a large bfloat16 map on the GPU itself."""
    channels, dtype = 192, torch.bfloat16
    need_memory(batch * side * side * channels, 32 if batch > 1 else 24)
    x = torch.empty(batch, side, side, channels, dtype=dtype, device='cuda').normal_()
    dt_B_C = torch.empty(batch, side, side, 4, 3, dtype=dtype, device='cuda').normal_()
    parameters = map_arguments(1, channels, 1, 1, 1, 1, dtype, 'cuda')[2:]
    return [x.permute(0, 3, 1, 2), dt_B_C, *parameters]


@large
@torch.no_grad()
def test_batch_of_more_than_2_31_elements():
    inputs = huge_arguments(304, 192)
    assert inputs[0].numel() > 2**31
    y, states = torch.ops.sparx_mm.ss2d(*inputs)
    wanted, entry = ss2d_torch.forward(*images(inputs, LAST))
    assert_near('y', y[-1:], wanted, TOLERANCES[torch.bfloat16])
    dx, ddt_B_C, *_ = torch.ops.sparx_mm.ss2d_backward(y, states, *inputs)
    wanted = ss2d_torch.backward(y[-1:].double(), entry, *images(inputs, LAST))
    assert_near('dx', dx[-1:], wanted[0], TOLERANCES[torch.bfloat16])
    assert_near('ddt_B_C', ddt_B_C[-1:], wanted[1], TOLERANCES[torch.bfloat16])


# the partial sums alone pass 2^31 elements, and the map does
@large
@pytest.mark.parametrize('side', [2000, 3400])
@torch.no_grad()
def test_large_map(side):
    inputs = huge_arguments(1, side)
    # no state outlives 16 positions, so a window shows what the map has there
    inputs[3] += 20
    y, _ = torch.ops.sparx_mm.ss2d(*inputs)
    window, inside = slice(-128, -8), slice(16, -16)
    x, dt_B_C, *parameters = inputs
    wanted, _ = ss2d_torch.forward(
        *(t.double() for t in (x[..., window, window], dt_B_C[:, window, window], *parameters))
    )
    assert_near(
        'y',
        y[..., window, window][..., inside, inside],
        wanted[..., inside, inside],
        TOLERANCES[torch.bfloat16],
    )


@pytest.mark.parametrize('dtype', TOLERANCES)
@pytest.mark.parametrize('groups, state', [(1, 1), (4, 8)])
def test_long_sequences(groups, state, dtype):
    inputs = sequence_arguments(2, 192, 20_000, state, groups, dtype, 'cuda')
    dy = torch.randn_like(inputs[0])
    given = [t.requires_grad_() for t in inputs]
    y = selective_scan(*given, delta_softplus=True)
    grads = torch.autograd.grad(y, given, dy)
    doubles = [t.detach().double() for t in inputs]
    wanted, states = scan_torch.forward(*doubles, True)
    assert_near('y', y, wanted, TOLERANCES[dtype])
    wanted = scan_torch.backward(dy.double(), states, *doubles, True)
    for i, pair in enumerate(zip(grads, wanted)):
        assert_near(f'gradient {i}', *pair, TOLERANCES[dtype])


# operator, its plain torch, and options
NORMS = {
    'group_norm': (group_norm, group_norm_torch, (1, 1e-5)),
    'layer_norm': (layer_norm, layer_norm_torch, (1e-5,)),
}


# T's norms: of a first layer of a detector, of a last scan at 224, and a wide layer norm
@pytest.mark.parametrize('dtype', TOLERANCES)
@pytest.mark.parametrize('name', NORMS)
@pytest.mark.parametrize(
    'size', [(2, 96, 200, 334), (64, 1024, 7, 7), (2, 2544, 25, 42), (3, 30, 133, 47)]
)
def test_norms(size, name, dtype):
    function, plain, options = NORMS[name]
    inputs = [t.requires_grad_() for t in norm_arguments(*size, dtype, 'cuda')]
    dy = torch.randn_like(inputs[0])
    results = []
    for _ in range(2):
        y = function(*inputs, *options)
        results.append([y, *torch.autograd.grad(y, inputs, dy)])
    assert all(torch.equal(a, b) for a, b in zip(*results))
    doubles = [t.detach().double() for t in inputs]
    wanted, states = plain.forward(*doubles, *options)
    assert_near('y', results[0][0], wanted, TOLERANCES[dtype])
    wanted = plain.backward(dy.double(), states, *doubles, *options)
    for i, pair in enumerate(zip(results[0][1:], wanted)):
        assert_near(f'gradient {i}', *pair, TOLERANCES[dtype])


# T's FFN and scan at 224, and a detector's; with odd sizes too
@pytest.mark.parametrize('dtype', TOLERANCES)
@pytest.mark.parametrize('residual, activation', [(True, 'gelu'), (False, 'silu'), (True, 'none')])
@pytest.mark.parametrize(
    'size', [(32, 384, 56, 56, 3), (2, 192, 200, 334, 5), (64, 1024, 7, 7, 5), (3, 30, 133, 47, 3)]
)
def test_depthwise_convolutions(size, residual, activation, dtype):
    inputs = [t.requires_grad_() for t in depthwise_arguments(*size, dtype, 'cuda')]
    dy = torch.randn_like(inputs[0])
    results = []
    for _ in range(2):
        y = depthwise_conv(*inputs, residual, activation)
        results.append([y, *torch.autograd.grad(y, inputs, dy)])
    assert all(torch.equal(a, b) for a, b in zip(*results))
    doubles = [t.detach().double() for t in inputs]
    wanted, states = depthwise_torch.forward(*doubles, residual, activation)
    assert_near('y', results[0][0], wanted, TOLERANCES[dtype])
    wanted = depthwise_torch.backward(dy.double(), states, *doubles, residual, activation)
    for i, pair in enumerate(zip(results[0][1:], wanted)):
        # the gradient before the activation is rounded, too
        assert_near(f'gradient {i}', *pair, 2 * TOLERANCES[dtype])


@large
@torch.no_grad()
def test_depthwise_convolution_of_more_than_2_31_elements():
    batch, channels, side = 304, 192, 192
    need_memory(batch * side * side * channels, 8)
    x = torch.empty(batch, side, side, channels, dtype=torch.bfloat16, device='cuda').normal_()
    parameters = depthwise_arguments(1, channels, 1, 1, 3, torch.bfloat16, 'cuda')[1:]
    y = depthwise_conv(x.permute(0, 3, 1, 2), *parameters)
    last = x[-1:].permute(0, 3, 1, 2).double()
    wanted, _ = depthwise_torch.forward(last, *(t.double() for t in parameters), False, 'none')
    assert_near('y', y[-1:], wanted, TOLERANCES[torch.bfloat16])


@large
@pytest.mark.parametrize('name', NORMS)
@torch.no_grad()
def test_norms_of_more_than_2_31_elements(name):
    function, plain, options = NORMS[name]
    batch, channels, side = 304, 192, 192
    need_memory(batch * side * side * channels, 8)
    x = torch.empty(batch, side, side, channels, dtype=torch.bfloat16, device='cuda').normal_()
    x = x.permute(0, 3, 1, 2)
    parameters = norm_arguments(1, channels, 1, 1, torch.bfloat16, 'cuda')[1:]
    last = [x[-1:].double(), *(t.double() for t in parameters)]
    y, states = getattr(torch.ops.sparx_mm, name)(x, *parameters, *options)
    wanted, kept = plain.forward(*last, *options)
    assert_near('y', y[-1:], wanted, TOLERANCES[torch.bfloat16])
    backward = getattr(torch.ops.sparx_mm, f'{name}_backward')
    dx, *_ = backward(y, states, x, *parameters, *options)
    wanted, *_ = plain.backward(y[-1:].double(), kept, *last, *options)
    assert_near('dx', dx[-1:], wanted, TOLERANCES[torch.bfloat16])


def test_other_streams():
    """What another stream has written is there, and is waited for."""
    inputs = map_arguments(2, 192, 56, 56, 6, 1, torch.float32, 'cuda')
    wanted = ss2d(*inputs)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        # the kernels must queue up behind this on the same stream
        torch.cuda._sleep(100_000_000)
        x = inputs[0] * 1
        y = ss2d(x, *inputs[1:]) * 1
    stream.synchronize()
    assert torch.equal(y, wanted)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason='a single GPU')
def test_second_gpu():
    """Launched where the tensors are, not on the current GPU."""
    assert torch.cuda.current_device() == 0
    first = map_arguments(2, 192, 28, 28, 6, 1, torch.float32, 'cuda:0')
    results = []
    for device in ('cuda:0', 'cuda:1'):
        inputs = [t.to(device).requires_grad_() for t in first]
        y = ss2d(*inputs)
        grads = torch.autograd.grad(y, inputs, torch.ones_like(y))
        results.append([t.to('cuda:0') for t in (y, *grads)])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_captured_in_a_graph():
    """No launch waits for the GPU or takes memory on its own."""
    inputs = map_arguments(2, 192, 28, 28, 6, 1, torch.float32, 'cuda')
    parameters = norm_arguments(1, 192, 1, 1, torch.float32, 'cuda')[1:]

    def run():
        y = ss2d(*inputs).contiguous(memory_format=torch.channels_last)
        return layer_norm(group_norm(y, *parameters, 1, 1e-5), *parameters, 1e-5)

    wanted = run()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = run()
    inputs[0].mul_(2)
    graph.replay()
    inputs[0].mul_(0.5)
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(y, wanted)
