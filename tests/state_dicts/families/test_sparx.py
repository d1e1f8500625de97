"""Names of SparX, to and from the released files."""

import parity
import pytest
import torch
from archs import PICO, learnable
from mmengine.runner.checkpoint import load_checkpoint, load_state_dict
from torch import nn

from sparx_mm import SparXMamba
from sparx_mm.state_dicts import SPARX

LAYOUTS = [(f, v) for f in ('cls', 'det', 'seg') for v in 'tsb']


@pytest.fixture(scope='module', params='tsb')
def own_names(request):
    """Names and shapes of a dense backbone of ours, by variant."""
    model = SparXMamba(learnable(parity.ARCHS[request.param]))
    return request.param, {key: list(value.shape) for key, value in model.state_dict().items()}


@pytest.mark.parametrize('flavour', ['cls', 'det', 'seg'])
def test_layout(own_names, flavour):
    variant, own = own_names
    released = {key: shape for key, shape, _ in parity.manifest(flavour, variant)}
    renamed = SPARX.to_own(released)
    left = {key: renamed.pop(key) for key in list(renamed) if key not in own}
    assert all(key.startswith('classifier.') for key in left)
    assert all(own[key] == shape for key, shape in renamed.items())
    missing = set(own) - set(renamed)
    assert all(
        key.startswith('norms.')
        and flavour == 'cls'
        or key.endswith('.proj.scale')
        and flavour != 'det'
        for key in missing
    )


@pytest.mark.parametrize('flavour, variant', LAYOUTS)
@pytest.mark.parametrize('prefix', ['', 'backbone.', 'module.ema.backbone.'])
def test_round_trip(flavour, variant, prefix):
    released = {prefix + key: i for i, (key, _, _) in enumerate(parity.manifest(flavour, variant))}
    own = SPARX.to_own(released, prefix)
    assert list(own.values()) == list(released.values())
    assert SPARX.to_released(own, prefix) == released
    # a second translation finds nothing left to do
    assert SPARX.to_own(own, prefix) == own


def test_foreign_names():
    foreign = [
        'classifier.0.weight',
        'fc.weight',
        'layers.0.weight',
        'layers.0.blocks.0.op.unknown',
        'norm',
        'neck.norm.0.weight',
        'layers.0.blocks.0.op.scales',
    ]
    assert SPARX.own_names(foreign) == {}
    assert SPARX.released_names(['stages.0.layers.0.unknown', 'head.weight', 'stems.0']) == {}
    state = {'neck.layers.0.downsample.0.weight': 1, 'norm.0.weight': 2}
    assert SPARX.to_own(state, 'backbone.') == state


class _Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = SparXMamba(learnable('tiny'))


@pytest.mark.parametrize('load', ['torch', 'mmengine'])
def test_load_under_a_prefix(load):
    released = parity.released_state('det', 't')
    nested = {f'backbone.{key}': value for key, value in released.items()}
    before = dict(nested)
    detector = _Detector()
    if load == 'torch':
        detector.load_state_dict(nested, strict=True)
    else:
        load_state_dict(detector, nested, strict=True)
    # the caller's dict is left alone
    assert nested.keys() == before.keys()
    loaded = SPARX.to_released(detector.backbone.state_dict())
    assert loaded.keys() == released.keys()
    assert all(loaded[key].equal(released[key]) for key in released)


def test_own_names_load_too(tmp_path):
    file = tmp_path / 'own.pth'
    source = SparXMamba(PICO)
    torch.save(dict(state_dict=source.state_dict()), file)
    target = SparXMamba(PICO)
    load_checkpoint(target, str(file), strict=True)
    for key, value in source.state_dict().items():
        assert target.state_dict()[key].equal(value)


def test_linear_weights_load_too():
    released = parity.released_state('seg', 't')
    linear = dict(released)
    for name, value in released.items():
        if value.shape[2:] == (1, 1) and ('.mlp.fc' in name or '_proj.weight' in name):
            linear[name] = value.flatten(1)
    assert sum(linear[k].dim() != v.dim() for k, v in released.items()) > 30
    own = SPARX.to_own(released)
    flat = SPARX.to_own(linear)
    assert all(flat[name].equal(value) for name, value in own.items())
