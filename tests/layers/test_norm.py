"""Norms and the scaled shortcut."""

from copy import deepcopy

import pytest
import torch
from finite_differences import FORMATS, in_token_order
from torch import nn

from sparx_mm.layers import BatchNorm2d, ChannelAffine, GroupNorm, LayerNorm2d, build_norm


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
    ],
)
def test_build_norm_wrong(cfg, message):
    with pytest.raises(ValueError, match=message):
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
