"""Names and shapes of plain Swin files."""

import pytest
import torch
import torch.nn.functional as F

from sparx_mm.state_dicts import SPARX, SWIN, find_families, find_prefixes

# (original, OpenMMLab, own)
PAIRS = [
    ('patch_embed.proj.weight', 'patch_embed.projection.weight', 'stem.proj.weight'),
    ('patch_embed.norm.bias', 'patch_embed.norm.bias', 'stem.norm.bias'),
    (
        'layers.2.blocks.5.norm1.weight',
        'stages.2.blocks.5.norm1.weight',
        'stages.2.layers.5.norm1.weight',
    ),
    (
        'layers.2.blocks.5.attn.qkv.bias',
        'stages.2.blocks.5.attn.w_msa.qkv.bias',
        'stages.2.layers.5.proj.bias',
    ),
    (
        'layers.2.blocks.5.attn.proj.weight',
        'stages.2.blocks.5.attn.w_msa.proj.weight',
        'stages.2.layers.5.mixer.out_proj.weight',
    ),
    (
        'layers.2.blocks.5.attn.relative_position_bias_table',
        'stages.2.blocks.5.attn.w_msa.relative_position_bias_table',
        'stages.2.layers.5.mixer.relative_position_bias_table',
    ),
    (
        'layers.2.blocks.5.norm2.bias',
        'stages.2.blocks.5.norm2.bias',
        'stages.2.layers.5.norm2.bias',
    ),
    (
        'layers.2.blocks.5.mlp.fc1.weight',
        'stages.2.blocks.5.ffn.layers.0.0.weight',
        'stages.2.layers.5.ffn.fc1.weight',
    ),
    (
        'layers.2.blocks.5.mlp.fc2.bias',
        'stages.2.blocks.5.ffn.layers.1.bias',
        'stages.2.layers.5.ffn.fc2.bias',
    ),
    (
        'layers.0.downsample.norm.weight',
        'stages.0.downsample.norm.weight',
        'downsamples.0.norm.weight',
    ),
    (
        'layers.1.downsample.reduction.weight',
        'stages.1.downsample.reduction.weight',
        'downsamples.1.reduction.weight',
    ),
    ('norm.weight', 'norm3.weight', 'norms.3.weight'),
]
TABLES = {
    'layers.0.blocks.0.attn.relative_position_bias_table',
    'stages.0.blocks.0.attn.w_msa.relative_position_bias_table',
}


@pytest.mark.parametrize('column', [0, 1])
def test_names(column):
    plain = [row[column] for row in PAIRS]
    assert SWIN.own_names(plain) == {row[column]: row[2] for row in PAIRS}


def test_output_norms_of_the_original_code():
    """Of its detectors: one for each stage."""
    assert SWIN.own_names(['norm0.bias', 'norm3.bias']) == {
        'norm0.bias': 'norms.0.bias',
        'norm3.bias': 'norms.3.bias',
    }


def test_newer_files_of_timm_merge_at_the_start_of_a_stage():
    rest = '.downsample.reduction.weight'
    names = [f'layers.{i}{rest}' for i in (1, 2, 3)]
    assert list(SWIN.own_names(names).values()) == [
        f'downsamples.{i}.reduction.weight' for i in range(3)
    ]


def test_other_names():
    own = [
        'head.weight',
        'head.fc.bias',
        'absolute_pos_embed',
        'norm_pre.bias',
        'layers.0.blocks.0.attn.logit_scale',
        'layers.0.downsample.0.weight',
    ]
    derived = [
        'layers.0.blocks.1.attn_mask',
        'layers.0.blocks.0.attn.relative_position_index',
        'stages.0.blocks.0.attn.w_msa.relative_position_index',
    ]
    assert SWIN.own_names(own + derived) == {}
    assert list(SWIN.drop_derived(dict.fromkeys(own + derived))) == own


@pytest.mark.parametrize('table', sorted(TABLES))
def test_prefixes(table):
    assert find_families(['head.bias', table]) == {'': SWIN}
    names = [f'{p}{table}' for p in ('backbone.', 'a.b.')]
    assert find_families(names * 2) == {'backbone.': SWIN, 'a.b.': SWIN}
    assert find_prefixes([table]) == []


def test_what_is_no_swin():
    # Swin V2, BEiT, ResNet, SparX-Swin
    names = [
        'layers.0.blocks.0.attn.logit_scale',
        'layers.0.blocks.0.attn.cpb_mlp.0.weight',
        'blocks.0.attn.relative_position_bias_table',
        'layer1.0.conv1.weight',
        'stages.0.layers.0.mixer.relative_position_bias_table',
    ]
    assert find_families(names) == {'': SPARX}
    assert find_families(names[:-1]) == {}


def test_plain_names_are_not_taken_for_released_ones():
    """Their values stand in another order."""
    names = [
        'patch_embed.proj.weight',
        'patch_embed.norm.weight',
        'norm.weight',
        'layers.0.downsample.norm.weight',
        'layers.0.downsample.reduction.weight',
    ]
    assert SPARX.own_names(names) == {}
    own = ['stem.proj.weight', 'downsamples.0.norm.weight', 'norms.weight']
    assert SPARX.released_names(own) == {}


def to_own(name, value):
    """The own tensor of one of a plain Swin."""
    (own,) = SWIN.to_own({name: value}).values()
    return own


def test_linear_layers_become_convolutions():
    weight, bias = torch.rand(6, 4), torch.rand(6)
    linear = 'layers.0.blocks.0.attn.qkv.'
    x = torch.rand(1, 4, 3, 5)
    torch.testing.assert_close(
        F.conv2d(x, to_own(f'{linear}weight', weight), to_own(f'{linear}bias', bias)),
        F.linear(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2),
    )
    for name in TABLES:
        assert to_own(name, weight) is weight
    assert to_own('patch_embed.proj.weight', x) is x


def test_neighbours_of_the_original_patch_merging():
    x = torch.rand(1, 3, 4, 6)
    weight, scale, shift = torch.rand(5, 12), torch.rand(12), torch.rand(12)
    # as the paper's code joins them: down the first column, then the second
    tokens = x.permute(0, 2, 3, 1)
    joined = torch.cat(
        [
            tokens[:, 0::2, 0::2],
            tokens[:, 1::2, 0::2],
            tokens[:, 0::2, 1::2],
            tokens[:, 1::2, 1::2],
        ],
        -1,
    )
    expected = F.linear(joined * scale + shift, weight).permute(0, 3, 1, 2)
    tensors = {'reduction.weight': weight, 'norm.weight': scale, 'norm.bias': shift}
    own = SWIN.to_own({f'layers.0.downsample.{k}': v for k, v in tensors.items()})
    weight, scale, shift = own.values()
    ours = F.pixel_unshuffle(x, 2) * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)
    torch.testing.assert_close(F.conv2d(ours, weight), expected)


def test_neighbours_of_openmmlab_stay():
    weight, scale = torch.rand(5, 12), torch.rand(12)
    name = 'stages.0.downsample.'
    assert to_own(f'{name}norm.weight', scale) is scale
    assert to_own(f'{name}reduction.weight', weight).squeeze().equal(weight)
