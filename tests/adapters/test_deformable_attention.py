"""Deformable attention in plain torch, against mmcv's."""

import pytest
import torch
from torch import nn

from sparx_mm.adapters import DeformableAttention, sample_levels
from sparx_mm.adapters.levels import cell_centres, to_maps, to_tokens
from sparx_mm.adapters.sampling import _sample_by_mmcv, _size_tables
from sparx_mm.errors import ConfigError

SIZES = [(6, 10), (3, 5), (1, 3)]
LENGTH = sum(height * width for height, width in SIZES)


@pytest.fixture(scope='module')
def ops():
    return pytest.importorskip('mmcv.ops.multi_scale_deform_attn')


def randomize(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.double()


@pytest.mark.stack
def test_sampling_is_mmcvs(ops):
    torch.manual_seed(0)
    value = torch.randn(2, LENGTH, 3, 4).double().requires_grad_()
    # some places are beyond the edges
    places = (torch.rand(2, 7, 3, 3, 4, 2) * 1.6 - 0.3).double().requires_grad_()
    weights = torch.rand(2, 7, 3, 3, 4).double().requires_grad_()
    found = sample_levels(value, SIZES, places.unbind(3), weights)
    expected = ops.multi_scale_deformable_attn_pytorch(value, torch.tensor(SIZES), places, weights)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    cotangent = torch.randn_like(found)
    leaves = value, places, weights
    gradients = zip(
        torch.autograd.grad(found, leaves, cotangent),
        torch.autograd.grad(expected, leaves, cotangent),
    )
    for ours, theirs in gradients:
        assert theirs.abs().max() > 0.1
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.stack
def test_mmcvs_operator_is_given_what_it_takes(ops):
    """Its plain form in its place, because the operator is for GPUs."""

    def operator(value, sizes, starts, places, weights, images):
        assert all(x.is_contiguous() for x in (value, places, weights))
        assert starts.tolist() == [0, 60, 75] and len(value) % images == 0
        return ops.multi_scale_deformable_attn_pytorch(value, sizes, places, weights)

    torch.manual_seed(0)
    # as the attention has it, heads cut from the channels of a transposed tensor
    value = torch.randn(LENGTH, 3, 12).transpose(0, 1).unflatten(2, (3, 4))
    places = torch.rand(3, 7, 3, 3, 4, 2).unbind(3)
    weights = torch.rand(3, 7, 3, 4, 3).transpose(3, 4)
    found = _sample_by_mmcv(operator, value, SIZES, places, weights)
    torch.testing.assert_close(found, sample_levels(value, SIZES, places, weights))


def test_sizes_are_on_the_device_once():
    """All attentions of all images of a size read the same tensors, which may be trained with."""
    seen = []

    def operator(value, sizes, starts, *rest):
        seen.append((sizes, starts))
        return value

    _size_tables.cache_clear()
    value, places = torch.zeros(1, LENGTH, 1, 1), [torch.zeros(1, 1, 1, 1, 2)] * 3
    for inference in (True, False):
        with torch.inference_mode(inference):
            _sample_by_mmcv(operator, value, SIZES, places, torch.zeros(1, 1, 1, 3, 1))
    (sizes, starts), again = seen
    assert again[0] is sizes and again[1] is starts
    assert sizes.tolist() == [list(size) for size in SIZES] and starts.tolist() == [0, 60, 75]
    assert not (sizes.is_inference() or starts.is_inference())


@pytest.mark.stack
def test_the_module_is_mmcvs(ops):
    """Its names, the weights that it starts with, what it computes and its gradients."""
    with pytest.warns(UserWarning, match='power of 2'):
        theirs = ops.MultiScaleDeformableAttention(24, 4, 3, 4, dropout=0, batch_first=True)
    ours = DeformableAttention(24, 4, 3)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name in ('sampling_offsets', 'attention_weights'):
        for part in ('weight', 'bias'):
            path = f'{name}.{part}'
            torch.testing.assert_close(ours.get_parameter(path), theirs.get_parameter(path))
    torch.manual_seed(1)
    randomize(theirs)
    ours.double().load_state_dict(theirs.state_dict())
    query, value = torch.randn(2, 15, 24).double(), torch.randn(2, LENGTH, 24).double()
    query.requires_grad_()
    value.requires_grad_()
    centres = cell_centres([(3, 5)], query)
    found = ours(query, value, centres, SIZES)
    expected = theirs(
        query,
        value=value,
        identity=torch.zeros_like(query),
        reference_points=centres[None, :, None].expand(2, -1, 3, -1),
        spatial_shapes=torch.tensor(SIZES),
        level_start_index=torch.tensor([0, 60, 75]),
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    cotangent = torch.randn_like(found)
    for module, out in ((ours, found), (theirs, expected)):
        module.grads = torch.autograd.grad(
            out, [query, value, *module.parameters()], cotangent, retain_graph=True
        )
    for one, other in zip(ours.grads, theirs.grads):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


def test_places_are_computed_in_32_bits():
    """On a map of 256 columns 8 bits are half a column."""
    torch.manual_seed(2)
    attention = randomize(DeformableAttention(8, 2, 1)).float()
    sizes = [(2, 256)]
    tokens = torch.randn(1, 512, 8)
    centres = cell_centres(sizes, tokens)
    expected = attention(tokens, tokens, centres, sizes)
    with torch.autocast('cpu', torch.bfloat16):
        found = attention(tokens, tokens, centres, sizes)
    assert found.dtype == torch.float32
    assert found.equal(expected)
    # a network of 16 bits has weights that are rounded, and computes as exactly with them
    half = attention.bfloat16()
    found = half(tokens.bfloat16(), tokens.bfloat16(), centres, sizes)
    assert found.dtype == torch.bfloat16
    rounded = half.float()(tokens.bfloat16().float(), tokens.bfloat16().float(), centres, sizes)
    assert found.equal(rounded.bfloat16())


@pytest.mark.parametrize('heads', [5, 0, -3, '6'])
def test_heads_divide_the_channels(heads):
    with pytest.raises(ConfigError, match=f'num_heads must be .*, got {heads!r}'):
        DeformableAttention(24, heads, 1)


def test_tokens_are_maps_row_by_row():
    maps = [torch.randn(2, 3, *size) for size in SIZES]
    tokens = to_tokens(*maps)
    assert tokens.shape == (2, LENGTH, 3)
    assert tokens[1, 60 + 7].equal(maps[1][1, :, 1, 2])
    for one, other in zip(to_maps(tokens, SIZES), maps):
        assert one.equal(other)
    centres = cell_centres(SIZES, tokens)
    torch.testing.assert_close(centres[60 + 7], torch.tensor([2.5 / 5, 1.5 / 3]))
    # of 8 bits, half of a map's columns would be one
    assert cell_centres(SIZES, tokens.bfloat16()).equal(centres)
