"""Names to and from the released files."""

import parity
import pytest
import torch
from mmengine.runner.checkpoint import load_checkpoint, load_state_dict
from torch import nn

from sparx_mm import SparXMamba
from sparx_mm.state_dicts import (
    find_prefixes,
    find_weights,
    from_released,
    rename_released,
    rename_to_released,
    to_released,
)

LAYOUTS = [(f, v) for f in ('cls', 'det', 'seg') for v in 'tsb']


@pytest.fixture(scope='module', params='tsb')
def own_names(request):
    """Names and shapes of a dense backbone of ours, by variant."""
    model = SparXMamba(parity.ARCHS[request.param], attn_scale='learnable')
    return request.param, {key: list(value.shape) for key, value in model.state_dict().items()}


@pytest.mark.parametrize('flavour', ['cls', 'det', 'seg'])
def test_layout(own_names, flavour):
    variant, own = own_names
    released = {key: shape for key, shape, _ in parity.manifest(flavour, variant)}
    renamed = rename_released(released)
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
    own = rename_released(released, prefix)
    assert list(own.values()) == list(released.values())
    assert rename_to_released(own, prefix) == released
    # a second translation finds nothing left to do
    assert rename_released(own, prefix) == own


def test_foreign_names():
    for key in (
        'classifier.0.weight',
        'fc.weight',
        'layers.0.weight',
        'layers.0.blocks.0.op.unknown',
        'norm',
        'neck.norm.0.weight',
        'layers.0.blocks.0.op.scales',
    ):
        assert from_released(key) is None
    for key in ('stages.0.layers.0.unknown', 'head.weight', 'stems.0'):
        assert to_released(key) is None
    state = {'neck.layers.0.downsample.0.weight': 1, 'norm.0.weight': 2}
    assert rename_released(state, 'backbone.') == state


class _Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = SparXMamba('tiny', attn_scale='learnable')


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
    loaded = rename_to_released(detector.backbone.state_dict())
    assert loaded.keys() == released.keys()
    assert all(loaded[key].equal(released[key]) for key in released)


def test_own_names_load_too(tmp_path):
    file = tmp_path / 'own.pth'
    source = parity.reference_model('seg', 't')
    torch.save(dict(state_dict=source.state_dict()), file)
    target = SparXMamba('tiny')
    load_checkpoint(target, str(file), strict=True)
    for key, value in source.state_dict().items():
        assert target.state_dict()[key].equal(value)


@pytest.mark.parametrize(
    'nest',
    [
        lambda w: w,
        lambda w: dict(state_dict=w),
        lambda w: dict(model=w, epoch=3),
        lambda w: dict(model=dict(state_dict=w)),
        lambda w: dict(state_dict=dict(other=0), state_dict_ema=w),
        lambda w: dict(model=dict(other=0), model_ema=w, optimizer={}),
        lambda w: dict(model=w, model_ema=None),
        lambda w: dict(model=w, model_ema={}),
        lambda w: dict(ema=dict(module=w, updates=7), model=dict(other=0)),
        # mmengine's EMAHook keeps the averaged weights in state_dict
        lambda w: dict(state_dict=w, ema_state_dict=dict(other=0)),
    ],
)
@pytest.mark.parametrize('wrap', ['', 'module.', 'module._orig_mod.'])
def test_find_weights(nest, wrap):
    weights = {'backbone.a': 1, 'b': 2}
    checkpoint = nest({wrap + name: value for name, value in weights.items()})
    keys = list(checkpoint)
    assert dict(find_weights(checkpoint)) == weights
    assert list(checkpoint) == keys


def test_find_weights_keeps_the_versions_of_modules():
    norm = nn.Sequential(nn.BatchNorm2d(2))
    state = nn.DataParallel(norm).state_dict()
    found = find_weights(dict(state_dict=state))
    assert found._metadata['0'] == dict(version=2)
    assert found.keys() == norm.state_dict().keys()


def test_find_prefixes():
    released = [key for key, _, _ in parity.manifest('det', 't')]
    own = list(rename_released(dict.fromkeys(released)))
    for names in (released, own):
        assert find_prefixes(names) == ['']
        nested = [f'{p}{n}' for p in ('backbone.', 'a.b.') for n in names]
        assert find_prefixes(nested) == ['backbone.', 'a.b.']
    # Swin's and ResNet's names are alike
    assert (
        find_prefixes(
            [
                'layers.0.blocks.0.attn.qkv.weight',
                'backbone.stem.0.weight',
                'stages.0.blocks.0.mlp.fc1.weight',
            ]
        )
        == []
    )
