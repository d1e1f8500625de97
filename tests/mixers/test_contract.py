"""What every mixer promises to the layer and the backbone."""

import pytest
import torch
from archs import PICO
from mmengine.model import BaseModule
from torch import nn

from sparx_mm import SparXMamba
from sparx_mm.registry import build_part


class OwnMixer(nn.Module):
    """One of a user's own: the least that a layer asks for."""

    def __init__(self, dim):
        super().__init__()
        self.in_channels = dim
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


class Mean(nn.Module):
    """One without parameters."""

    def __init__(self, dim):
        super().__init__()
        self.in_channels = dim

    def forward(self, x):
        return x.mean((2, 3), keepdim=True).expand_as(x)


MIXERS = {
    'own': dict(type=OwnMixer),
    'without parameters': dict(type=Mean),
    'SS2D': dict(type='SS2D'),
    'SS2D of VMamba': dict(
        type='SS2D', d_conv=3, ssm_ratio=1, conv_bias=False, bias=False, norm=dict(type='LN2d')
    ),
    'SS2D with a gate': dict(type='SS2D', d_state=4, gate=True),
    'CS2D': dict(type='CS2D', d_state=2),
    'CVSS': dict(type='CVSSMixer', scan=dict(type='CS2D', d_state=2, gate=True), reduction=2),
    'SSM': dict(type='SSM'),
    'BiSSM': dict(type='BiSSM'),
    'bidirectional mamba': dict(type='BidirectionalMamba', d_state=3),
    'ChannelSSM': dict(type='ChannelSSM', width=4, dt_rank=2),
    'window': dict(type='ShiftedWindowAttention', num_heads=2, window_size=3),
    'group mamba': dict(type='ModulatedGroupMamba', d_state=2),
    'snake scan': dict(type='SnakeScan', d_state=4, d_conv=3),
    'attention': dict(type='Attention', num_heads=2),
    'NonCausalSSD': dict(type='NonCausalSSD', num_heads=2, d_state=6),
    'RotaryNonCausalSSD': dict(type='RotaryNonCausalSSD', num_heads=4, d_state=8, ssm_ratio=1),
    'shifted window': dict(type='ShiftedWindowAttention', num_heads=2, window_size=3, shifted=True),
}
every = pytest.mark.parametrize('kind', MIXERS)
SIZES = [(1, 1), (1, 9), (8, 1), (2, 3), (7, 5), (17, 9)]


def build(kind, dim=8):
    torch.manual_seed(0)
    return build_part(MIXERS[kind], 'mixer', dim=dim)


def image(mixer, *size, batch=2, **kwargs):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, mixer.in_channels, *size, generator=generator).to(**kwargs)


@every
@pytest.mark.parametrize('size', SIZES)
def test_keeps_the_size_of_any_map(kind, size):
    mixer = build(kind).eval()
    out = mixer(image(mixer, *size))
    assert out.shape == (2, 8, *size) and out.isfinite().all()


@every
def test_trains(kind):
    mixer = build(kind).double().train()
    x = image(mixer, 7, 5, dtype=torch.float64).requires_grad_()
    out = mixer(x)
    (out * torch.randn_like(out)).sum().backward()
    assert x.grad.isfinite().all() and x.grad.any()
    for name, param in mixer.named_parameters():
        assert param.grad is not None and param.grad.isfinite().all(), name
        assert param.grad.any(), name


@every
def test_memory_formats_agree(kind):
    mixer = build(kind).double().eval()
    x = image(mixer, 7, 5, dtype=torch.float64)
    wanted = mixer(x)
    given = mixer(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(given, wanted, atol=1e-12, rtol=1e-12)


@every
def test_images_of_a_batch_do_not_see_each_other(kind):
    mixer = build(kind).double().eval()
    x = image(mixer, 5, 4, batch=3, dtype=torch.float64)
    wanted = torch.cat([mixer(one) for one in x.split(1)])
    torch.testing.assert_close(mixer(x), wanted, atol=1e-12, rtol=1e-12)


@every
def test_autocast(kind):
    mixer = build(kind).eval()
    x = image(mixer, 7, 5)
    wanted = mixer(x)
    with torch.autocast('cpu', torch.bfloat16):
        given = mixer(x)
    # 8 bits through a few products; of groups, through more, and a norm after them
    error = (given.float() - wanted).abs().max()
    assert error < (0.05 if kind == 'group mamba' else 0.03) * wanted.abs().max()


@every
@pytest.mark.stack
def test_in_every_stage_of_a_backbone(kind):
    torch.manual_seed(0)
    model = SparXMamba(dict(PICO, mixer=MIXERS[kind]))
    outs = model(torch.rand(2, 3, 33, 66))
    assert [tuple(out.shape[1:]) for out in outs] == [
        (16, 9, 17),
        (24, 5, 9),
        (32, 3, 5),
        (40, 2, 3),
    ]
    sum(out.square().sum() for out in outs).backward()
    assert all(p.grad is not None for p in model.parameters())


class OwnInit(BaseModule):
    """One that chooses its first weights itself."""

    def __init__(self, dim):
        super().__init__()
        self.in_channels = dim
        self.conv = nn.Conv2d(dim, dim, 1)

    def init_weights(self):
        nn.init.constant_(self.conv.weight, 7)

    def forward(self, x):
        return self.conv(x)


def test_own_first_weights():
    model = SparXMamba(dict(PICO, mixer=dict(type=OwnInit)))
    model.init_weights()
    mixers = [layer.mixer for stage in model.stages for layer in stage.layers]
    assert len(mixers) == sum(PICO['depths'])
    assert all((mixer.conv.weight == 7).all() for mixer in mixers)
