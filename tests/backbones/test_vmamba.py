"""VMamba: what its released models are and how they start."""

import math

import pytest
import torch
from archs import PICO_VMAMBA
from torch import nn

from sparx_mm import VMamba
from sparx_mm.layers import LayerNorm2d

# with four output norms
PARAMETERS = {
    'tiny': 29_481_408,
    'small': 49_380_096,
    'base': 87_534_592,
    'tiny-s2l5': 29_938_176,
    'small-s1l20': 48_245_184,
    'base-s1l20': 85_591_296,
    'tiny-v0': 22_125_792,
    'small-v0': 43_649_760,
    'base-v0': 75_230_848,
}
# the first release: a gate, 16 states and no FFN
PICO_V0 = dict(base='tiny-v0', **PICO_VMAMBA)


@pytest.mark.parametrize('arch', VMamba.arch_zoo)
def test_parameter_count(arch):
    with torch.device('meta'):
        model = VMamba(arch)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[arch]


@pytest.mark.parametrize('arch', [PICO_VMAMBA, PICO_V0])
def test_every_norm_is_by_position(arch):
    model = VMamba(arch)
    norms = [m for m in model.modules() if 'norm' in type(m).__name__.lower()]
    assert len(norms) > 10
    assert all(type(norm) is LayerNorm2d and norm.eps == 1e-5 for norm in norms)
    assert not list(model.buffers())


def test_biases():
    names = {name.split('.', 4)[-1] for name, _ in VMamba(PICO_VMAMBA).named_parameters()}
    assert 'mixer.conv.weight' in names and 'ffn.fc1.bias' in names
    for part in ('proj', 'mixer.conv', 'mixer.out_proj'):
        assert f'{part}.bias' not in names
    assert VMamba(PICO_V0).stages[0].layers[0].mixer.conv.bias is not None


def test_one_image_of_one_pixel_trains():
    model = VMamba(PICO_VMAMBA).train()
    outs = model(torch.rand(1, 3, 1, 1))
    assert [tuple(out.shape[2:]) for out in outs] == [(1, 1)] * 4
    sum((out * torch.randn_like(out)).sum() for out in outs).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_patches_of_the_first_release_are_not_padded():
    model = VMamba(PICO_V0).eval()
    assert [tuple(m.shape[2:]) for m in model(torch.rand(1, 3, 31, 43))] == [
        (7, 10),
        (4, 5),
        (2, 3),
        (1, 2),
    ]
    with pytest.raises(ValueError, match='at least 4x4, got 3x40'):
        model(torch.rand(1, 3, 3, 40))


def test_initialisation():
    """Linear layers are drawn anew; convolutions with a window keep torch's weights."""
    torch.manual_seed(0)
    model = VMamba('tiny')
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if module.kernel_size == (1, 1):
            # three standard errors of a standard deviation
            error = max(3 * 0.02 / math.sqrt(2 * module.weight.numel()), 1e-3)
            assert abs(module.weight.std() - 0.02) < error, name
            assert module.bias is None or module.bias.eq(0).all(), name
        else:
            bound = 1 / math.sqrt(module.weight[0].numel())
            assert 0.9 * bound < module.weight.abs().max() <= bound, name
            assert module.bias is None or module.bias.any(), name
