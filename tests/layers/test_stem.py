"""Stem and downsampling."""
import pytest
import torch
from torch import nn

from sparx_mm.layers import ConvDownsample, ConvStem

BN = dict(type='BN')


@pytest.mark.parametrize('num_convs', [2, 3])
@pytest.mark.parametrize('size', [(1, 1), (2, 3), (4, 4), (33, 47)])
def test_stem(num_convs, size):
    stem = ConvStem(8, BN, num_convs=num_convs).eval()
    convs = [m for m in stem if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convs] == [4] * (num_convs - 1) + [8]
    assert [m.bias for m in convs] == [None] * num_convs
    out = stem(torch.randn(1, 3, *size))
    assert out.shape == (1, 8, -(-size[0] // 4), -(-size[1] // 4))


def test_stem_of_one_convolution():
    with pytest.raises(ValueError, match='num_convs must be at least 2'):
        ConvStem(8, BN, num_convs=1)


def test_downsample():
    out = ConvDownsample(4, 6, BN)(torch.randn(2, 4, 5, 8))
    assert out.shape == (2, 6, 3, 4)
