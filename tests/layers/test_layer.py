"""The layer that all networks are made of."""

import pytest
import torch
from torch import nn

from sparx_mm.layers import ConvolvedLayer, DynamicPositionEncoding, Layer

NORMAL = dict(type='LinearProjection')
GANGLION = dict(type='DMCA', reduction=2)


def _layer(proj, mixer=dict(type='SS2D'), **kwargs):
    num_sources = 2 if proj is GANGLION else 0
    return Layer(16, mixer, proj, dict(type='ConvFFN'), num_sources=num_sources, **kwargs)


@pytest.mark.parametrize('proj', [NORMAL, GANGLION])
def test_order_of_operations(proj):
    layer = _layer(proj, skip_scale=True).eval()
    for param in layer.parameters():
        nn.init.normal_(param, std=0.1)
    x = torch.randn(2, 16, 4, 6)
    sources = [torch.randn(2, 16, 4, 6) for _ in range(2)]
    y = layer.dpe(x)
    read = [sources] if proj is GANGLION else []
    mixed = layer.mixer(layer.proj(layer.norm1(y), *read))
    y = y * layer.skip1.weight.view(-1, 1, 1) + layer.skip1.bias.view(-1, 1, 1) + mixed
    y = (
        y * layer.skip2.weight.view(-1, 1, 1)
        + layer.skip2.bias.view(-1, 1, 1)
        + layer.ffn(layer.norm2(y))
    )
    torch.testing.assert_close(layer(x, sources), y)


def test_a_position_encoding_before_the_ffn():
    layer = _layer(NORMAL, ffn_dpe=True).eval()
    assert isinstance(layer.ffn_dpe, DynamicPositionEncoding)
    x = torch.randn(2, 16, 4, 6)
    y = layer.dpe(x)
    y = layer.ffn_dpe(y + layer.mixer(layer.proj(layer.norm1(y))))
    torch.testing.assert_close(layer(x), y + layer.ffn(layer.norm2(y)))
    # without an FFN there is nothing that it stands before
    layer = Layer(16, dict(type='SS2D'), NORMAL, None, ffn_dpe=True)
    assert not any('ffn_dpe' in name for name, _ in layer.named_parameters())


def test_a_mixer_that_has_its_own_norm():
    mixer = dict(type='ModulatedGroupMamba')
    layer = Layer(16, mixer, dict(type='Identity'), dict(type='MLP'), dpe=False).eval()
    x = torch.randn(2, 16, 4, 6)
    y = x + layer.mixer(x)
    torch.testing.assert_close(layer(x), y + layer.ffn(layer.norm2(y)))
    assert not any(name.startswith('norm1') for name, _ in layer.named_parameters())


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


def test_without_an_ffn_it_ends_after_the_mixer():
    layer = Layer(16, dict(type='SS2D'), NORMAL, None, dpe=False)
    names = {name.split('.')[0] for name, _ in layer.named_parameters()}
    assert names == {'norm1', 'proj', 'mixer'}
    x = torch.randn(1, 16, 4, 6)
    torch.testing.assert_close(layer(x), x + layer.mixer(layer.proj(layer.norm1(x))))


class ThreefoldMixer(nn.Module):
    """A user's own mixer, which wants 3C channels as attention does."""

    def __init__(self, dim):
        super().__init__()
        self.in_channels = 3 * dim

    def forward(self, x):
        return sum(x.chunk(3, dim=1))


@pytest.mark.parametrize('proj', [NORMAL, GANGLION])
def test_any_projection_feeds_any_mixer(proj):
    layer = _layer(proj, mixer=dict(type=ThreefoldMixer))
    x = torch.randn(1, 16, 5, 5)
    read = [[x, x]] if proj is GANGLION else []
    assert layer.proj(x, *read).shape == (1, 48, 5, 5)
    assert layer(x, *read).shape == x.shape


def test_a_subclass_may_replace_what_follows_the_projection():
    class Doubled(Layer):
        def _mix(self, x, y):
            return 2 * super()._mix(x, y)

    layer = _layer(NORMAL).eval()
    twin = Doubled(16, dict(type='SS2D'), NORMAL, dict(type='ConvFFN')).eval()
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(2, 16, 4, 6)
    assert twin(x).equal(2 * layer(x))
    twin.compile(backend='eager')
    assert twin(x).equal(2 * layer(x))


def test_a_convolved_layer_reads_earlier_maps_as_others_do():
    torch.manual_seed(0)
    parts = dict(mixer=dict(type='SS2D'), proj=NORMAL, ffn=None, num_inputs=2)
    layer, plain = ConvolvedLayer(16, **parts).eval(), Layer(16, **parts).eval()
    plain.load_state_dict(layer.state_dict(), strict=False)
    x, earlier = torch.randn(2, 2, 16, 4, 6)
    wanted = nn.functional.gelu(layer.conv_norm(layer.conv(plain(x, (), [earlier]))))
    assert layer(x, (), [earlier]).equal(wanted)
