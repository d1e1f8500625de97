"""GroupMamba: what its released models are and how they start."""

import math

import pytest
import torch
from archs import PICO_GROUPMAMBA
from torch import nn

from sparx_mm import GroupMamba
from sparx_mm.layers import BatchNorm2d, LayerNorm2d
from sparx_mm.mixers import ModulatedGroupMamba

PARAMETERS = {'tiny': 20_462_224, 'small': 31_143_298, 'base': 53_512_581}


@pytest.mark.parametrize('arch', GroupMamba.arch_zoo)
def test_parameters_and_parts(arch):
    with torch.device('meta'):
        model = GroupMamba(arch)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[arch]
    for stage in model.stages:
        for layer in stage.layers:
            assert type(layer.mixer) is ModulatedGroupMamba
            # the mixer has them
            assert type(layer.norm1) is nn.Identity and isinstance(layer.proj, nn.Identity)
    epsilons = {}
    for name, module in model.named_modules():
        if isinstance(module, (nn.LayerNorm, LayerNorm2d, BatchNorm2d)):
            kind = name.split('.', 4)[-1] if name.startswith('stages') else name.split('.')[0]
            epsilons.setdefault(module.eps, set()).add(kind)
    assert epsilons[1e-6] == {'norm2', 'norms'}
    assert epsilons[1e-5] == {'stem', 'downsamples', 'mixer.norm', 'mixer.out_norm'}


def test_drop_paths_grow_from_layer_to_layer():
    model = GroupMamba(PICO_GROUPMAMBA, drop_path_rate=0.7)
    rates = [layer.drop_path.drop_prob for stage in model.stages for layer in stage.layers]
    assert rates == pytest.approx([0.1 * i for i in range(8)])


@pytest.mark.parametrize('out_indices', [(3,), (1, 2)])
def test_norms_lie_on_the_trunk(out_indices):
    """Each stage reads the normed map of the one before it, returned or not."""
    torch.manual_seed(0)
    model = GroupMamba(PICO_GROUPMAMBA, out_indices=out_indices).eval()
    assert list(model.norms) == [str(i) for i in range(out_indices[-1] + 1)]
    for norm in model.norms.values():
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = images = torch.randn(2, 3, 40, 72)
    x, maps = model.stem(x), []
    for i, stage in enumerate(model.stages):
        x = model.norms[str(i)](stage(x))
        maps.append(x)
        if i + 1 < len(model.stages):
            x = model.downsamples[i](x)
    outs = model(images)
    for out, i in zip(outs, out_indices, strict=True):
        torch.testing.assert_close(out, maps[i], atol=1e-5, rtol=1e-5)


def test_depths_of_trunk_norms():
    """Of the layer that reads them; the last one is a head's neighbour."""
    model = GroupMamba(PICO_GROUPMAMBA)
    found = [model.get_layer_depth(f'norms.{i}.weight')[0] for i in range(4)]
    assert found == [2, 4, 7, 9]
    for i in range(3):
        depth, _ = model.get_layer_depth(f'backbone.downsamples.{i}.0.weight', 'backbone.')
        assert depth == found[i]


def test_initialisation():
    torch.manual_seed(0)
    model = GroupMamba('tiny')
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        std = 0.02
        if module.kernel_size != (1, 1):
            kernel = module.kernel_size[0] ** 2
            std = math.sqrt(2 * module.groups / (kernel * module.out_channels))
        # four standard errors
        error = 4 * std / math.sqrt(2 * module.weight.numel())
        assert abs(module.weight.std() - std) < max(error, 1e-3), name
        assert module.bias is None or module.bias.eq(0).all(), name
