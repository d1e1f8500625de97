"""The simple pyramid against its description in mmdet's terms."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import nn

from sparx_mm.errors import ConfigError
from sparx_mm.layers import LayerNorm2d
from sparx_mm.necks import SimpleFeaturePyramid

pytestmark = pytest.mark.stack


def build(**options):
    return MODELS.build(dict(type='SimpleFeaturePyramid', backbone_channel=8, **options))


def test_it_is_vitdets():
    """The modules of mmdet's project, built of mmcv's, on the same weights."""
    cnn = pytest.importorskip('mmcv.cnn')
    ours = build(out_channels=6)
    up = nn.Sequential(
        nn.ConvTranspose2d(8, 4, 2, 2),
        LayerNorm2d(4, eps=1e-6),
        nn.GELU(),
        nn.ConvTranspose2d(4, 2, 2, 2),
    )
    scales = nn.ModuleList([up, nn.ConvTranspose2d(8, 4, 2, 2), nn.Identity(), nn.MaxPool2d(2)])
    norm = dict(type=LayerNorm2d, eps=1e-6)
    modules = [
        scales,
        *(
            nn.ModuleList(
                cnn.ConvModule(*args, side, padding=side // 2, norm_cfg=norm, act_cfg=None)
                for args in channels
            )
            for side, channels in (
                (1, [(2, 6), (4, 6), (8, 6), (8, 6)]),
                (3, [(6, 6)] * 4),
            )
        ),
    ]
    torch.manual_seed(0)
    theirs = nn.ModuleList(modules).double()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter)
    # the same modules in the same order
    values = dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True))
    ours.double().load_state_dict(values)
    x = torch.randn(2, 8, 4, 6).double()
    outs = ours((torch.zeros(1, 8, 1, 1), x))
    assert [tuple(out.shape[2:]) for out in outs] == [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]
    for out, scale, lateral, conv in zip(outs, *modules):
        torch.testing.assert_close(out, conv(lateral(scale(x))))
        # RoIAlign reads no other
        assert out.is_contiguous()
    assert outs[4].equal(outs[3][..., ::2, ::2])
    sum(out.mean() for out in outs).backward()
    assert all(p.grad is not None for p in ours.parameters())


def test_odd_sizes_are_rounded_up():
    shapes = [tuple(out.shape) for out in build(num_outs=4)(torch.rand(1, 8, 3, 5))]
    assert shapes == [(1, 256, 12, 20), (1, 256, 6, 10), (1, 256, 3, 5), (1, 256, 2, 3)]


def test_other_norms_and_an_activation():
    neck = build(norm_cfg=dict(type='BN'), act_cfg=dict(type=nn.ReLU), in_channels=[2, 4, 8, 8])
    assert isinstance(neck.fpn_convs[0][1], nn.BatchNorm2d)
    assert all(out.min() == 0 for out in neck(torch.rand(2, 8, 2, 2)))
    plain = build(norm_cfg=None)
    assert not any(isinstance(m, LayerNorm2d) for m in plain.modules())
    x = torch.rand(1, 8, 2, 3)
    lateral, conv = plain.lateral_convs[2][0], plain.fpn_convs[2][0]
    expected = F.conv2d(lateral(x), conv.weight, conv.bias, padding=1)
    torch.testing.assert_close(plain(x)[2], expected)


def test_layer_norm_has_vitdets_eps():
    for eps, given in ((1e-6, {}), (1e-3, dict(eps=1e-3)), (1e-6, dict(type=LayerNorm2d))):
        neck = build(norm_cfg={'type': 'LN2d', **given})
        assert {m.eps for m in neck.modules() if isinstance(m, LayerNorm2d)} == {eps}


def test_an_activation_of_torch_is_known_by_name():
    # no library registers it
    neck = build(act_cfg=dict(type='Softshrink', lambd=0.25))
    assert neck.fpn_convs[0][2].lambd == 0.25
    with pytest.raises(ConfigError, match="is registered, got 'Relu'"):
        build(act_cfg=dict(type='Relu'))


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(backbone_channel=6), 'backbone_channel must be a multiple of 4, got 6'),
        (dict(in_channels=[8, 8, 8, 8]), r'are \[2, 4, 8, 8\], got \[8, 8, 8, 8\]: leave them out'),
        (dict(in_channels=8), r'are \[2, 4, 8, 8\], got 8: leave them out'),
        (dict(out_channels=0), 'out_channels must be an int from 1, got 0'),
        (dict(num_outs=3), 'num_outs must be an int from 4, got 3'),
        (dict(act_cfg='ReLU'), r"act_cfg must be a config, dict\(type='ReLU'\), .* got 'ReLU'"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ConfigError, match=message):
        SimpleFeaturePyramid(**{'backbone_channel': 8, **options})
