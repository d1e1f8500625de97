"""Norms and the scaled shortcut."""

from copy import deepcopy

import pytest
import torch
from finite_differences import FORMATS, in_token_order
from mmengine.model import initialize
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sparx_mm.errors import ConfigError
from sparx_mm.kernels import dispatch
from sparx_mm.layers import (
    BatchNorm2d,
    ChannelAffine,
    DepthwiseConv,
    GroupNorm,
    LayerNorm2d,
    build_norm,
)


@pytest.mark.parametrize(
    'kind, layers',
    [
        ('BN', ['_BatchNorm', 'BatchNorm2d']),
        ('SyncBN', ['_BatchNorm', 'SyncBatchNorm']),
        ('LN2d', ['LayerNorm']),
        ('RMS2d', ['RMSNorm']),
    ],
)
def test_rules_of_an_init_cfg_find_norms(kind, layers):
    for number, layer in enumerate(layers, 2):
        norm = build_norm(dict(type=kind), 3)
        initialize(norm, dict(type='Constant', layer=layer, val=number))
        assert norm.weight.eq(number).all()


def test_layer_norm_2d():
    x = torch.randn(2, 5, 3, 4)
    norm = LayerNorm2d(5, eps=1e-6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    mean = x.mean(1, keepdim=True)
    var = x.var(1, unbiased=False, keepdim=True)
    expected = (x - mean) / (var + 1e-6).sqrt()
    expected = expected * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)
    # float32 rounding of a few operations
    for layout in (torch.contiguous_format, torch.channels_last):
        out = norm(x.to(memory_format=layout))
        torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
        assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    'norm',
    [
        nn.BatchNorm2d(16),
        nn.GroupNorm(1, 16),
        LayerNorm2d(16),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_statistics_under_autocast(norm):
    torch.manual_seed(0)
    # a mean of 64 leaves bfloat16 two bits for a spread of one; statistics
    # of 8 bits would be off by as much
    x = (64 + torch.randn(2, 16, 32, 32)).bfloat16()
    wanted = deepcopy(norm).double()(x.double())
    with torch.autocast('cpu', torch.bfloat16):
        y = norm(x)
    # the rounding of the result, no more
    error = (y.double() - wanted).abs()
    assert (error <= 2**-8 * wanted.abs() + 1e-4).all()
    for name, buffer in norm.named_buffers():
        if name.startswith('running'):
            assert buffer.dtype == torch.float32


@pytest.fixture
def triton_device(monkeypatch):
    """Return the device on which this machine runs Triton kernels, and ask for them."""
    if dispatch.missing_triton():
        pytest.skip(f'the kernels cannot run: {dispatch.missing_triton()}')
    monkeypatch.setenv('SPARX_MM_KERNELS', 'triton')
    return torch.device('cpu' if dispatch.is_interpreted() else 'cuda')


@pytest.mark.parametrize('part', [GroupNorm(1, 4), LayerNorm2d(4), DepthwiseConv(4, 3)], ids=str)
def test_traced_and_exported_networks_have_torchs_operators(triton_device, part):
    x = torch.randn(2, 4, 5, 7, device=triton_device).contiguous(memory_format=torch.channels_last)
    part = part.to(triton_device)
    with torch.no_grad():
        traced = [node.kind() for node in torch.jit.trace(part, x).inlined_graph.nodes()]
    exported = [str(node.target) for node in torch.export.export(part, (x,)).graph.nodes]
    assert any('conv' in name or 'norm' in name for name in traced)
    assert not [name for name in traced + exported if 'sparx_mm' in name]


class Operators(TorchDispatchMode):
    """List of the names of our operators that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == 'sparx_mm':
            self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


# channels-last maps on a GPU with Triton are ours; torch reads the others as they lie
@pytest.mark.parametrize('layout, ours', [('channels_last', True), ('contiguous', False)])
@pytest.mark.parametrize(
    'make, plain, name',
    [
        (lambda: GroupNorm(1, 6), lambda: nn.GroupNorm(1, 6), 'group_norm'),
        (lambda: GroupNorm(3, 6), lambda: nn.GroupNorm(3, 6), 'group_norm'),
        (lambda: LayerNorm2d(6, eps=1e-6), lambda: nn.LayerNorm(6, eps=1e-6), 'layer_norm'),
    ],
)
def test_norms_on_a_gpu(make, plain, name, layout, ours, triton_device):
    torch.manual_seed(0)
    norm, wanted = make().to(triton_device), plain().to(triton_device)
    for param in norm.parameters():
        nn.init.normal_(param)
    wanted.load_state_dict(norm.state_dict())
    x = torch.randn(2, 6, 3, 5, device=triton_device).contiguous(memory_format=FORMATS[layout])
    gradient = torch.randn_like(x)

    def moved(x):
        return x if name == 'group_norm' else x.permute(0, 2, 3, 1)

    with Operators() as operators:
        given = gradients(norm, x, gradient)
    assert operators.names == ([name, f'{name}_backward'] if ours else [])
    for a, b in zip(given, gradients(wanted, moved(x).contiguous(), moved(gradient))):
        torch.testing.assert_close(a if a.dim() == 1 else moved(a), b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('half_weights', [False, True])
def test_16_bits_stay_16_bits_on_a_gpu(half_weights, dtype, triton_device):
    """Under autocast, and in a network of 16 bits."""
    x = torch.randn(2, 6, 3, 5, device=triton_device, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    for norm in (GroupNorm(1, 6).to(triton_device), LayerNorm2d(6).to(triton_device)):
        wanted = norm.double()(x.double())
        norm = norm.to(dtype if half_weights else torch.float32)
        with torch.autocast(triton_device.type, dtype, enabled=not half_weights):
            y = norm(x)
        assert y.dtype == dtype
        torch.testing.assert_close(y.double(), wanted, atol=1e-4, rtol=torch.finfo(dtype).eps)
        y.sum().backward()
        assert all(param.grad.dtype == param.dtype for param in norm.parameters())


def test_norms_without_a_scale_are_torch_s(triton_device):
    x = torch.randn(2, 6, 3, 5, device=triton_device).contiguous(memory_format=torch.channels_last)
    with Operators() as operators:
        GroupNorm(1, 6, affine=False)(x)
        LayerNorm2d(6, elementwise_affine=False)(x)
        LayerNorm2d(6, bias=False).to(triton_device)(x)
    assert operators.names == []


def test_norms_on_a_gpu_compile_whole(triton_device):
    norms = nn.Sequential(GroupNorm(1, 6), LayerNorm2d(6)).to(triton_device)
    compiled = torch.compile(norms, backend='aot_eager', fullgraph=True, dynamic=True)
    for height in (3, 4):
        x = torch.randn(2, 6, height, 5, device=triton_device)
        x = x.contiguous(memory_format=torch.channels_last)
        assert torch.equal(compiled(x), norms(x))


def test_channel_affine():
    affine = ChannelAffine(3)
    x = torch.randn(2, 3, 4, 5)
    assert affine(x).equal(x)
    with torch.no_grad():
        affine.weight.copy_(torch.tensor([2.0, 3.0, 4.0]).view(3, 1, 1, 1))
        affine.bias.copy_(torch.tensor([1.0, 0.0, -1.0]))
    out = affine(x)
    for c, (scale, bias) in enumerate([(2, 1), (3, 0), (4, -1)]):
        torch.testing.assert_close(out[:, c], x[:, c] * scale + bias)


@pytest.mark.tries('a batch of one image in the batch norm')
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_one_image_of_tokens(layout):
    """A map that is a view of tokens: torch gives its gradient wrongly."""
    torch.manual_seed(0)
    norm = BatchNorm2d(6)
    tokens = torch.randn(1, 20, 6)
    # (B, L, C) -> (B, C, L) -> (B, C, H, W)
    x = tokens.transpose(1, 2).unflatten(2, (4, 5))
    cotangent = torch.randn(1, 6, 4, 5).contiguous(memory_format=layout)
    (found,) = torch.autograd.grad(norm(x), norm.bias, cotangent)
    torch.testing.assert_close(found, cotangent.sum((0, 2, 3)))


@pytest.mark.parametrize(
    'cfg, norm_type',
    [
        (dict(type='BN'), BatchNorm2d),
        (dict(type='SyncBN'), nn.SyncBatchNorm),
        (dict(type='BN', momentum=0.03, eps=1e-4), BatchNorm2d),
    ],
)
def test_build_norm(cfg, norm_type):
    norm = build_norm(cfg, 8)
    assert type(norm) is norm_type
    assert norm.num_features == 8
    assert norm.momentum == cfg.get('momentum', 0.1)
    assert norm.eps == cfg.get('eps', 1e-5)
    assert all(p.requires_grad for p in norm.parameters())


def test_build_norm_frozen():
    norm = build_norm(dict(type='BN', requires_grad=False), 8)
    assert not any(p.requires_grad for p in norm.parameters())


@pytest.mark.parametrize(
    'cfg, message',
    [
        (dict(), "norm_cfg must be a dict with a 'type', got {}"),
        (4, "norm_cfg must be a dict with a 'type', got 4"),
        (dict(type='Nonsense'), "norm_cfg type 'Nonsense' is unknown; use one of"),
        (dict(type='GN'), "{'type': 'GN'} cannot be built for 8 channels: .*num_groups"),
        (dict(type='GN', num_groups=7), 'cannot be built for 8 channels: .* divisible'),
        (dict(type='LN2d', epss=1), "cannot be built for 8 channels: .*'epss'"),
        (dict(type=print), "'type': <built-in function print>} cannot be built"),
        (dict(type=nn.LayerNorm), r'takes no \(B, C, H, W\) maps; use one of'),
        (dict(type=nn.BatchNorm1d), r'takes no \(B, C, H, W\) maps; use one of'),
    ],
)
def test_build_norm_wrong(cfg, message):
    with pytest.raises(ConfigError, match=message):
        build_norm(cfg, 8)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_group_norm_trains_behind_frozen_parts(layout):
    """torch's own ends the process: channels-last, no gradient wanted."""
    x = torch.randn(2, 4, 3, 5).to(memory_format=layout)
    ours, theirs = GroupNorm(1, 4), nn.GroupNorm(1, 4)
    wanted = theirs(x.contiguous())
    given = ours(x)
    assert given.is_contiguous(memory_format=layout)
    torch.testing.assert_close(given, wanted)
    for y in (given, wanted):
        (y * torch.arange(y.numel()).view(y.shape)).sum().backward()
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)


def gradients(norm, x, gradient):
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    return torch.autograd.grad(norm(x), (x, norm.weight, norm.bias), gradient)


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('batch', [1, 2])
@pytest.mark.parametrize('layout', FORMATS)
def test_batch_norm_takes_gradients_of_tokens(layout, batch, training):
    torch.manual_seed(0)
    ours, theirs = (kind(16).double().train(training) for kind in (BatchNorm2d, nn.BatchNorm2d))
    x = torch.randn(batch, 16, 4, 5, dtype=torch.double)
    gradient = torch.randn_like(x)
    wanted = gradients(theirs, x, gradient)
    x = x.contiguous(memory_format=FORMATS[layout])
    for given in (gradient, in_token_order(gradient)):
        assert ours(x).is_contiguous(memory_format=FORMATS[layout])
        for found, value in zip(gradients(ours, x, given), wanted):
            torch.testing.assert_close(found, value)


def test_torch_still_takes_them_wrongly():
    """When this fails, torch is mended and `BatchNorm2d` is no longer needed."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(16).double()
    x = torch.randn(1, 16, 4, 5, dtype=torch.double)
    gradient = torch.randn_like(x)
    wanted = gradients(norm, x, gradient)
    for found, value in zip(gradients(norm, x, in_token_order(gradient)), wanted):
        assert (found - value).abs().max() > 1


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('options', [dict(), dict(eps=1e-3), dict(elementwise_affine=False)])
def test_rms_norm_is_torchs_over_channels(options, dtype):
    torch.manual_seed(0)
    x = torch.randn(2, 5, 3, 4).to(dtype)
    norm = build_norm(dict(type='RMS2d', **options), 5).to(dtype)
    for weight in norm.parameters():
        nn.init.normal_(weight)
    out = norm(x)
    weight = None if norm.weight is None else norm.weight.double()
    eps = options.get('eps', torch.finfo(dtype).eps)
    wanted = nn.functional.rms_norm(x.double().permute(0, 2, 3, 1), (5,), weight, eps)
    assert out.dtype == dtype
    tolerance = 2 * torch.finfo(dtype).eps
    torch.testing.assert_close(
        out.double(), wanted.permute(0, 3, 1, 2), rtol=tolerance, atol=tolerance
    )
