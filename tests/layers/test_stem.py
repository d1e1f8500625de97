"""Stem and downsampling."""

import pytest
import torch
import torch.nn.functional as F
from finite_differences import FORMATS, gradient_error
from torch import nn

from sparx_mm.layers import (
    ConvDownsample,
    ConvStem,
    DeepStem,
    InvertedDownsample,
    LayerNorm2d,
    PatchEmbed,
    PatchMerging,
    PlainStem,
    ResidualStem,
)


@pytest.mark.parametrize('num_convs', [2, 3])
@pytest.mark.parametrize('size', [(1, 1), (2, 3), (4, 4), (33, 47)])
def test_stem(num_convs, size):
    stem = ConvStem(8, num_convs=num_convs).eval()
    convs = [m for m in stem if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convs] == [4] * (num_convs - 1) + [8]
    assert [m.bias for m in convs] == [None] * num_convs
    out = stem(torch.randn(1, 3, *size))
    assert out.shape == (1, 8, -(-size[0] // 4), -(-size[1] // 4))


def test_stem_of_one_convolution():
    with pytest.raises(ValueError, match='num_convs must be at least 2'):
        ConvStem(8, num_convs=1)


def test_further_convolutions_keep_the_size():
    stem = ConvStem(8, num_convs=3, extra_convs=2).eval()
    convs = [m for m in stem if isinstance(m, nn.Conv2d)]
    assert [(m.out_channels, m.stride[0]) for m in convs] == [
        (4, 2),
        (4, 1),
        (8, 2),
        (8, 1),
        (8, 1),
    ]
    # a norm after each, GELU between them
    assert [type(m).__name__ for m in stem] == 4 * ['Conv2d', 'BatchNorm2d', 'GELU'] + [
        'Conv2d',
        'BatchNorm2d',
    ]
    assert stem(torch.randn(1, 3, 9, 5)).shape == (1, 8, 3, 2)


@pytest.mark.parametrize('size', [(1, 1), (3, 2), (33, 47)])
def test_residual_stem(size):
    stem = ResidualStem(8, in_channels=2).eval()
    x = torch.randn(1, 2, *size)
    conv, norm = stem.conv1[:2]
    half = norm(F.conv2d(x, conv.weight, stride=2, padding=1)).relu()
    first, last = stem.conv2[:2], stem.conv2[3:]
    half = half + last(first(half).relu())
    wide = stem.conv3[:2](half)
    assert wide.shape[1] == 32
    out = stem.conv3[3:](wide.relu())
    torch.testing.assert_close(stem(x), out)
    assert out.shape == (1, 8, -(-size[0] // 4), -(-size[1] // 4))
    assert all(m.bias is None for m in stem.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize('size', [(1, 1), (3, 2), (33, 47)])
def test_deep_stem(size):
    stem = DeepStem(8, in_channels=2, width=6).eval()
    nn.init.normal_(stem.norm.weight)
    x = torch.randn(1, 2, *size)
    convs, norms = stem.conv[::3], stem.conv[1::3]
    y = x
    for conv, norm, options in zip(
        convs, norms, [dict(stride=2, padding=3), dict(padding=1), dict(padding=1)], strict=True
    ):
        y = norm(F.conv2d(y, conv.weight, **options)).relu()
    y = F.conv2d(y, stem.proj.weight, stem.proj.bias, stride=2, padding=1)
    torch.testing.assert_close(stem(x), _layer_norm(y, stem.norm))
    assert y.shape == (1, 8, -(-size[0] // 4), -(-size[1] // 4))
    assert [conv.weight.shape for conv in convs] == [(6, 2, 7, 7), (6, 6, 3, 3), (6, 6, 3, 3)]
    assert stem.proj.bias is not None and all(conv.bias is None for conv in convs)


@pytest.mark.parametrize('num_convs', [0, 2])
@pytest.mark.parametrize('size', [(1, 1), (16, 40), (33, 47)])
def test_plain_stem(size, num_convs):
    """Patches of 8x8 at half of the image's size, padded with zeros after the convolutions."""
    stem = PlainStem(8, in_channels=2, num_convs=num_convs, width=6, grid=3).eval()
    x = torch.randn(1, 2, *size)
    norms = [stem.entry[1], *stem.convs[1::3]]
    y = F.conv2d(x, stem.entry[0].weight, stride=2, padding=3)
    for norm, conv in zip(norms, [*stem.convs[::3], None], strict=True):
        y = norm(y).relu()
        if conv is not None:
            y = F.conv2d(y, conv.weight, padding=1)
    shape = [-(-side // 16) for side in size]
    padded = torch.zeros(1, 6, *(8 * side for side in shape))
    padded[..., : y.shape[2], : y.shape[3]] = y
    y = F.conv2d(padded, stem.proj.weight, stem.proj.bias, stride=8)
    y += F.interpolate(stem.pos_embed, size=shape, mode='bicubic', align_corners=False)
    torch.testing.assert_close(stem(x), y)
    assert stem(x).shape == (1, 8, *shape)


@pytest.mark.parametrize('part', [ConvDownsample, InvertedDownsample])
def test_downsample(part):
    out = part(4, 6)(torch.randn(2, 4, 5, 8))
    assert out.shape == (2, 6, 3, 4)


def test_inverted_downsample():
    down = InvertedDownsample(4, 6).eval()
    x = torch.randn(2, 4, 5, 8)
    wide = down.depthwise(down.expand(x).relu()).relu()
    assert wide.shape == (2, 24, 3, 4) and down.depthwise.groups == 24
    torch.testing.assert_close(down(x), down.norm(down.reduce(wide)))
    assert all(m.bias is not None for m in down if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize(
    'part',
    [ConvStem(8), ResidualStem(8), DeepStem(8), ConvDownsample(3, 6), InvertedDownsample(3, 6)],
    ids=['stem', 'residual stem', 'deep stem', 'downsample', 'inverted downsample'],
)
@pytest.mark.parametrize('layout', FORMATS)
def test_gradients_of_one_map_in_token_order(part, layout):
    part = part.double().train()
    x = torch.randn(1, 3, 12, 20, dtype=torch.double).contiguous(memory_format=FORMATS[layout])
    assert gradient_error(lambda: part(x), part, tokens=True) < 1e-6


def _layer_norm(x, norm):
    """Of the channels of each position, by its definition."""
    x = x - x.mean(1, keepdim=True)
    x = x / (x.square().mean(1, keepdim=True) + norm.eps).sqrt()
    return x * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)


@pytest.mark.parametrize('size', [(1, 1), (2, 3), (4, 8), (9, 14)])
def test_patch_embedding(size):
    embed = PatchEmbed(8).double()
    nn.init.normal_(embed.norm.weight)
    nn.init.normal_(embed.norm.bias)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    rows, columns = -(-size[0] // 4), -(-size[1] // 4)
    padded = x.new_zeros(2, 3, 4 * rows, 4 * columns)
    padded[:, :, : size[0], : size[1]] = x
    patches = padded.view(2, 3, rows, 4, columns, 4)
    tokens = torch.einsum('bcymxn,dcmn->bdyx', patches, embed.proj.weight)
    tokens = tokens + embed.proj.bias.view(-1, 1, 1)
    torch.testing.assert_close(embed(x), _layer_norm(tokens, embed.norm))


@pytest.mark.parametrize('size', [(4, 4), (7, 11)])
def test_patches_that_leave_out_what_does_not_fill_one(size):
    embed = PatchEmbed(8, pad=False)
    x = torch.randn(1, 3, *size)
    whole = x[:, :, : size[0] // 4 * 4, : size[1] // 4 * 4]
    assert embed(x).equal(PatchEmbed.forward(embed, whole))
    assert embed(x).shape == (1, 8, size[0] // 4, size[1] // 4)
    with pytest.raises(ValueError, match='at least 4x4, got 3x8: pad them'):
        embed(torch.rand(1, 3, 3, 8))


def test_biases_and_norms():
    norm = dict(type='LN2d')
    for part in (
        ConvStem(8, bias=True, norm_cfg=norm),
        ConvDownsample(4, 6, bias=True, norm_cfg=norm),
    ):
        convs = [m for m in part if isinstance(m, nn.Conv2d)]
        norms = [m for m in part if isinstance(m, LayerNorm2d)]
        assert len(convs) == len(norms) and all(m.bias is not None for m in convs)


@pytest.mark.parametrize('size', [(1, 1), (3, 2), (4, 6), (5, 7)])
def test_patch_merging(size):
    merge = PatchMerging(4, 6).double()
    nn.init.normal_(merge.norm.weight)
    nn.init.normal_(merge.norm.bias)
    x = torch.randn(2, 4, *size, dtype=torch.float64)
    # each row of nn.Unfold is a window of 2x2: channels, then its positions
    rows, columns = -(-size[0] // 2), -(-size[1] // 2)
    padded = F.pad(x, (0, 2 * columns - size[1], 0, 2 * rows - size[0]))
    tokens = nn.Unfold(2, stride=2)(padded).view(2, 16, rows, columns)
    expected = torch.einsum(
        'bcyx,dc->bdyx', _layer_norm(tokens, merge.norm), merge.reduction.weight[..., 0, 0]
    )
    for layout in (torch.contiguous_format, torch.channels_last):
        out = merge(x.to(memory_format=layout))
        torch.testing.assert_close(out, expected)


def test_patches_of_no_image():
    tokens = PatchEmbed(8)(torch.rand(0, 3, 8, 12))
    assert PatchMerging(8, 6)(tokens).shape == (0, 6, 1, 2)
