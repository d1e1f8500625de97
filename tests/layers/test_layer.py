"""The SparX layer."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from sparx_mm.layers import DynamicPositionEncoding, Layer

NORMAL = dict(type='LinearProjection')
GANGLION = dict(type='DMCA', num_sources=2, reduction=2)


def _layer(proj, **kwargs):
    return Layer(16, dict(type='SS2D'), proj, dict(type='ConvFFN'), **kwargs)


@pytest.mark.parametrize('proj', [NORMAL, GANGLION])
def test_order_of_operations(proj):
    layer = _layer(proj, skip_scale=True).eval()
    for param in layer.parameters():
        nn.init.normal_(param, std=0.1)
    x = torch.randn(2, 16, 4, 6)
    sources = [torch.randn(2, 16, 4, 6) for _ in range(2)]
    y = layer.dpe(x)
    mixed = layer.mixer(layer.proj(layer.norm1(y), sources))
    y = y * layer.skip1.weight.view(-1, 1, 1) + layer.skip1.bias.view(-1, 1, 1) + mixed
    y = (
        y * layer.skip2.weight.view(-1, 1, 1)
        + layer.skip2.bias.view(-1, 1, 1)
        + layer.ffn(layer.norm2(y))
    )
    torch.testing.assert_close(layer(x, sources), y)


def test_only_a_ganglion_layer_reads_its_sources():
    x = torch.randn(1, 16, 4, 4)
    ones, zeros = [torch.ones_like(x)] * 2, [torch.zeros_like(x)] * 2
    normal, ganglion = _layer(NORMAL).eval(), _layer(GANGLION).eval()
    for param in ganglion.parameters():
        nn.init.normal_(param)
    assert normal(x, ones).equal(normal(x, zeros))
    assert not ganglion(x, ones).allclose(ganglion(x, zeros))


def test_options():
    layer = _layer(NORMAL, dpe=False, drop_path_rate=0.3)
    names = {name.split('.')[0] for name, _ in layer.named_parameters()}
    assert names == {'norm1', 'proj', 'mixer', 'norm2', 'ffn'}
    assert layer.drop_path.drop_prob == 0.3
    layer = _layer(NORMAL, skip_scale=True)
    assert isinstance(layer.dpe, DynamicPositionEncoding)
    assert layer.skip1.weight.shape == (16, 1, 1, 1)


class _ThreefoldMixer(nn.Module):
    """A user's own mixer, which wants 3C channels as attention does."""

    def __init__(self, dim, **kwargs):
        super().__init__()
        self.in_channels = 3 * dim

    def forward(self, x):
        return sum(x.chunk(3, dim=1))


@pytest.mark.parametrize('proj', [NORMAL, GANGLION])
def test_any_projection_feeds_any_mixer(proj):
    MODELS.register_module('_ThreefoldMixer', module=_ThreefoldMixer)
    try:
        layer = Layer(16, dict(type='_ThreefoldMixer'), proj, dict(type='ConvFFN'))
    finally:
        MODELS.module_dict.pop('_ThreefoldMixer')
    x = torch.randn(1, 16, 5, 5)
    assert layer.proj(x, [x, x]).shape == (1, 48, 5, 5)
    assert layer(x, [x, x]).shape == x.shape
