"""The weights that convolutions and linear layers start with."""

import pytest
import torch
from torch import nn

from sparx_mm.errors import ConfigError
from sparx_mm.layers import PointwiseConv, draw_weights


@pytest.mark.parametrize(
    'rule, std', [('trunc_normal', 0.02), ('fan_out', (2 / (9 * 64 / 4)) ** 0.5), ('torch', None)]
)
def test_convolutions(rule, std):
    torch.manual_seed(0)
    conv = nn.Conv2d(32, 64, 3, groups=4)
    before = conv.weight.clone(), conv.bias.clone()
    draw_weights(conv, rule)
    if std is None:
        assert conv.weight.equal(before[0]) and conv.bias.equal(before[1])
    else:
        assert conv.weight.std().item() == pytest.approx(std, rel=0.05)
        assert not conv.bias.any()


@pytest.mark.parametrize('rule', ['trunc_normal', 'fan_out', 'torch'])
def test_linear_layers_have_one_rule(rule):
    torch.manual_seed(0)
    for layer in (nn.Linear(64, 64), PointwiseConv(64, 64), nn.Conv2d(64, 64, 1, groups=2)):
        draw_weights(layer, rule)
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert not layer.bias.any()
    # but for those that say that they are convolutions
    conv = PointwiseConv(64, 64, linear=False)
    before = conv.weight.clone()
    draw_weights(conv, 'torch')
    assert conv.weight.equal(before)


def test_other_modules_and_rules():
    norm = nn.LayerNorm(3)
    draw_weights(norm, 'fan_out')
    assert norm.weight.eq(1).all()
    with pytest.raises(ConfigError, match="one of .*'fan_out'.*, got 'kaiming'"):
        draw_weights(nn.Conv2d(1, 1, 3), 'kaiming')
