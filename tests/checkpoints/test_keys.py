"""Names to and from the released files."""
import parity
import pytest
import torch
from mmengine.runner.checkpoint import load_checkpoint, load_state_dict
from torch import nn

from sparx_mm import SparXMamba
from sparx_mm.checkpoints import (from_released, rename_released,
                                  rename_to_released, to_released)

LAYOUTS = [(f, v) for f in ('cls', 'det', 'seg') for v in 'tsb']
# legally absent from an ImageNet file: what only dense tasks have
DENSE_ONLY = ('norms.', )


@pytest.fixture(scope='module', params='tsb')
def own_names(request):
    """Names and shapes of a dense backbone of ours, by variant."""
    model = SparXMamba(parity.ARCHS[request.param], attn_scale='learnable')
    return request.param, {
        key: list(value.shape)
        for key, value in model.state_dict().items()
    }


@pytest.mark.parametrize('flavour', ['cls', 'det', 'seg'])
def test_layout(own_names, flavour):
    variant, own = own_names
    released = {
        key: shape
        for key, shape, _ in parity.manifest(flavour, variant)
    }
    renamed = rename_released(released)
    left = {key: renamed.pop(key) for key in list(renamed) if key not in own}
    assert all(key.startswith('classifier.') for key in left)
    assert all(own[key] == shape for key, shape in renamed.items())
    missing = set(own) - set(renamed)
    assert all(
        key.startswith('norms.') and flavour == 'cls'
        or key.endswith('.proj.scale') and flavour != 'det' for key in missing)


@pytest.mark.parametrize('flavour, variant', LAYOUTS)
@pytest.mark.parametrize('prefix', ['', 'backbone.', 'module.ema.backbone.'])
def test_round_trip(flavour, variant, prefix):
    released = {
        prefix + key: i
        for i, (key, _, _) in enumerate(parity.manifest(flavour, variant))
    }
    own = rename_released(released, prefix)
    assert list(own.values()) == list(released.values())
    assert rename_to_released(own, prefix) == released
    # a second translation finds nothing left to do
    assert rename_released(own, prefix) == own


def test_foreign_names():
    for key in ('classifier.0.weight', 'fc.weight', 'layers.0.weight',
                'layers.0.blocks.0.op.unknown', 'norm', 'neck.norm.0.weight',
                'layers.0.blocks.0.op.scales'):
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


@pytest.mark.parametrize('flavour, variant', LAYOUTS)
def test_pretrained_loads_every_tensor(flavour, variant, tmp_path):
    file = tmp_path / f'sparx_mamba_{variant}.pth'
    released = parity.released_state(flavour, variant)
    torch.save(released, file)
    model = SparXMamba(
        parity.ARCHS[variant],
        attn_scale=parity.ATTN_SCALES[flavour],
        init_cfg=dict(type='Pretrained', checkpoint=str(file)))
    untouched = {
        key: value.clone()
        for key, value in model.state_dict().items()
    }
    model.init_weights()
    loaded = rename_to_released(model.state_dict())
    for key, value in released.items():
        if not key.startswith('classifier.'):
            assert loaded.pop(key).equal(value), key
    # what the file lacks stays as it was initialised
    for key, value in rename_released(loaded).items():
        assert key.startswith(DENSE_ONLY)
        assert value.equal(untouched[key])


def test_own_names_load_too(tmp_path):
    file = tmp_path / 'own.pth'
    source = parity.reference_model('seg', 't')
    torch.save(dict(state_dict=source.state_dict()), file)
    target = SparXMamba('tiny')
    load_checkpoint(target, str(file), strict=True)
    for key, value in source.state_dict().items():
        assert target.state_dict()[key].equal(value)
