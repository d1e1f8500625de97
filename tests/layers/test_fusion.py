"""Fusions of two maps: a sum, and weights by frequencies and positions."""

import math

import pytest
import torch
import torch.nn.functional as F

from sparx_mm.errors import ConfigError
from sparx_mm.layers import AddFusion, MFMSFusion
from sparx_mm.layers.fusion import TOP16, pool_frequencies
from sparx_mm.registry import build_part

KINDS = ('conv', 'mlp', 'ms_cam')
SIZES = [(1, 1), (1, 9), (4, 7)]


def maps(*size, channels=8, dtype=torch.float64):
    torch.manual_seed(0)
    return [torch.randn(2, channels, *size, dtype=dtype) for _ in range(2)]


def test_add():
    x, skip = maps(3, 4)
    assert build_part(dict(type='Add'), 'fusion', dim=8)(x, skip).equal(x + skip)
    assert not list(AddFusion(8).parameters())


@pytest.mark.parametrize('size', SIZES)
def test_frequencies_are_pooled_at_any_size(size):
    """The cosine transform's bases, position by position."""
    x, _ = maps(*size)
    height, width = size
    pooled = []
    for u, v in TOP16:
        basis = [
            [
                math.cos(math.pi * u * (h + 0.5) / height)
                * math.cos(math.pi * v * (w + 0.5) / width)
                for w in range(width)
            ]
            for h in range(height)
        ]
        product = (x * torch.tensor(basis, dtype=x.dtype)).flatten(2)
        pooled.append(torch.stack([product.mean(2), product.amax(2), product.amin(2)]))
    expected = torch.stack(pooled).mean(0)
    torch.testing.assert_close(torch.stack(pool_frequencies(x, TOP16)), expected)


def test_frequencies_of_a_grid():
    x, _ = maps(14, 21)
    scaled = [(2 * u, 3 * v) for u, v in TOP16]
    for found, wanted in zip(pool_frequencies(x, TOP16, 7), pool_frequencies(x, scaled)):
        torch.testing.assert_close(found, wanted)
    # as they are, on a map that is smaller than the grid
    small = x[..., :3, :5]
    assert pool_frequencies(small, TOP16, 7)[0].equal(pool_frequencies(small, TOP16)[0])


def test_the_weights():
    torch.manual_seed(1)
    fusion = MFMSFusion(8).double().eval()
    x, skip = maps(4, 7)
    both = x + skip
    mixed = sum(
        F.conv1d(one[:, None], conv.weight, padding=conv.weight.shape[2] // 2)[:, 0]
        for conv, one in zip(fusion.convs, pool_frequencies(both, TOP16))
    )
    weight = torch.sigmoid(mixed[..., None, None] + fusion.local_branch(both))
    torch.testing.assert_close(fusion(x, skip), weight * skip + (1 - weight) * x)


@pytest.mark.parametrize('dim, side', [(96, 3), (192, 5), (384, 5), (768, 5)])
def test_kernels_along_the_channels(dim, side):
    assert [conv.kernel_size for conv in MFMSFusion(dim).convs] == [(side,)] * 3


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('size', SIZES)
def test_every_parameter_is_trained(kind, size):
    torch.manual_seed(0)
    # batch norms of two values take all there is away
    fusion = MFMSFusion(16, kind, norm_cfg=dict(type='LN2d')).double()
    x, skip = (one.requires_grad_() for one in maps(*size, channels=16))
    y = fusion(x, skip)
    (y * torch.randn_like(y)).sum().backward()
    for name, parameter in (*fusion.named_parameters(), ('x', x), ('skip', skip)):
        assert parameter.grad.isfinite().all() and parameter.grad.any(), name


@pytest.mark.parametrize('kind', KINDS)
def test_sixteen_bits(kind):
    torch.manual_seed(0)
    fusion = MFMSFusion(8, kind).eval()
    x, skip = maps(40, 36, dtype=torch.float32)
    expected = fusion(x, skip)
    with torch.autocast('cpu', torch.bfloat16):
        found = fusion(x, skip)
    # a weight between 0 and 1 of 8 bits
    assert (found.float() - expected).abs().max() < 0.02 * expected.abs().max()
    half = fusion.bfloat16()(x.bfloat16(), skip.bfloat16())
    assert half.dtype is torch.bfloat16
    assert (half.float() - expected).abs().max() < 0.03 * expected.abs().max()


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(global_branch='fc'), r"one of \('conv', 'mlp', 'ms_cam'\), got 'fc'"),
        (dict(frequencies=[]), r'frequencies must be pairs, one or more, got \[\]'),
        (dict(frequencies=[(0, 1), (2,)]), r'frequencies must be pairs, .* got \[\(0, 1\), \(2,'),
        (dict(frequency_grid=0), 'frequency_grid must be None or an int from 1, got 0'),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ConfigError, match=message):
        build_part(dict(type='MFMS', **options), 'fusion', dim=8)
