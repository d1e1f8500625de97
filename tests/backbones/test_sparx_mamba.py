"""SparX-Mamba: the contract that every arch meets."""

import pytest
import torch
from archs import PICO, learnable
from mmengine.registry import MODELS, DefaultScope

from sparx_mm import SparXMamba
from sparx_mm.backbones.sparx_ablations import ABLATIONS

# (learnable scale, as in detectors; by length, as in segmentors)
PARAMETERS = {
    'tiny': (26_540_017, 26_540_010),
    'small': (46_900_953, 46_900_944),
    'base': (82_900_689, 82_900_680),
}
CHANNELS = {
    'tiny': (96, 192, 320, 512),
    'small': (96, 192, 328, 544),
    'base': (120, 240, 396, 636),
}


def test_the_table_holds_every_released_arch():
    assert (
        set(PARAMETERS)
        == set(CHANNELS)
        == set(SparXMamba.arch_zoo) - {f'tiny-{name}' for name in ABLATIONS}
    )


@pytest.fixture(scope='module', params=sorted(PARAMETERS))
def named(request):
    return request.param, SparXMamba(request.param)


@pytest.mark.slow
def test_parameter_count(named):
    arch, model = named
    detector = SparXMamba(learnable(arch))
    counts = tuple(sum(p.numel() for p in m.parameters()) for m in (detector, model))
    assert counts == PARAMETERS[arch]


def test_channels_and_strides(named):
    arch, model = named
    with torch.no_grad():
        outs = model.eval()(torch.randn(1, 3, 64, 96))
    assert tuple(out.shape[1] for out in outs) == CHANNELS[arch]
    assert [out.shape[2:] for out in outs] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert all(out.isfinite().all() for out in outs)


@pytest.mark.slow
def test_full_size_training_step():
    torch.manual_seed(0)
    model = SparXMamba(learnable('tiny'))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    images = torch.randn(2, 3, 224, 224)

    def loss():
        return sum(out.square().mean() for out in model.train()(images))

    first = loss()
    first.backward()
    # parameter count == gradient count, none of them lost
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    optimizer.step()
    assert all(not p.equal(before[n]) for n, p in model.named_parameters())
    with torch.no_grad():
        assert loss() < first


@pytest.mark.parametrize(
    'height, width',
    [
        (1, 1),
        (1, 2),
        (2, 1),
        (3, 5),
        (4, 4),
        (5, 4),
        (7, 90),
        (17, 33),
        (32, 32),
        (33, 47),
        (65, 31),
    ],
)
def test_every_size(height, width):
    model = SparXMamba(PICO).eval()
    with torch.no_grad():
        outs = model(torch.randn(2, 3, height, width))
    size = (-(-height // 4), -(-width // 4))
    for out, channels in zip(outs, PICO['embed_dims']):
        assert out.shape == (2, channels, *size)
        assert out.isfinite().all()
        size = tuple(-(-side // 2) for side in size)


def test_training_needs_two_values_per_channel():
    model = SparXMamba(PICO).train()
    for shape in ((2, 3, 1, 1), (1, 3, 33, 33)):
        assert model(torch.randn(shape))[-1].isfinite().all()
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        model(torch.randn(1, 3, 32, 32))


@pytest.mark.stack
@pytest.mark.parametrize('scope', ['mmengine', 'mmdet', 'mmseg'])
def test_any_config_can_name_it(scope):
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(dict(type='SparXMamba', arch=PICO))
    assert type(model) is SparXMamba


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_memory_formats_agree(memory_format):
    torch.manual_seed(0)
    model = SparXMamba(PICO).eval().double()
    x = torch.randn(2, 3, 40, 56, dtype=torch.float64)
    expected = model(x)
    outs = model.to(memory_format=memory_format)(x.to(memory_format=memory_format))
    for out, wanted in zip(outs, expected):
        torch.testing.assert_close(out, wanted, atol=1e-10, rtol=1e-10)
        # mmcv's operators misread any other layout
        assert out.is_contiguous()
