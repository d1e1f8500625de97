"""Files in the layout of the released ones load in full, wherever given."""

import parity
import pytest
import torch
from detection import ROOT, tiny_config
from mmengine.registry import MODELS, init_default_scope

from sparx_mm import SparXMamba
from sparx_mm.run import build_runner, load_config, load_runner
from sparx_mm.state_dicts import SPARX

pytestmark = pytest.mark.stack
CONFIG = ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py'
PREFIX = 'backbone.'


@pytest.fixture
def detection(shapes, tmp_path):
    """A function that makes the config at full size, for the drawn set."""

    def make(variant):
        arch = parity.ARCHS[variant]
        dims = SparXMamba.arch_zoo[arch]['embed_dims']
        return tiny_config(
            CONFIG,
            shapes,
            str(tmp_path / 'run'),
            model__backbone__arch=dict(base=arch),
            model__neck__in_channels=list(dims),
        )

    return make


@pytest.fixture
def segmentation(ade, tmp_path):
    """A function that makes the UperNet config, for a small ADE20K."""

    def make(variant):
        options = {'model.backbone.init_cfg': None}
        for loader in ('train', 'val', 'test'):
            key = f'{loader}_dataloader'
            options[f'{key}.dataset.data_root'] = f'{ade}/'
            options[f'{key}.num_workers'] = 0
            options[f'{key}.persistent_workers'] = False
        config = ROOT / f'configs/mmseg/upernet_sparx_{variant}.py'
        return load_config(str(config), options, str(tmp_path / 'run'))

    return make


def released_names(model):
    """A model's tensors by the names of a released file."""
    return SPARX.to_released(model.state_dict(), PREFIX)


def released_file(flavour, variant, model, path):
    """Save heads of mm's own names around a backbone of released ones."""
    weights = released_names(model)
    for name, value in parity.released_state(flavour, variant).items():
        assert PREFIX + name in weights
        weights[PREFIX + name] = value
    torch.save(dict(meta={}, state_dict=weights), path)
    return weights


def assert_equal(model, expected):
    loaded = released_names(model)
    assert loaded.keys() == expected.keys()
    assert [k for k in expected if not loaded[k].equal(expected[k])] == []


def test_backbone_file_through_init_cfg(detection, tmp_path):
    cfg = detection('t')
    released = parity.released_state('det', 't')
    torch.save(dict(model=released), tmp_path / 'file.pth')
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'file.pth'))
    model = build_runner(cfg).model
    model.init_weights()
    loaded = SPARX.to_released(model.backbone.state_dict())
    assert loaded.keys() == released.keys()
    assert all(loaded[k].equal(released[k]) for k in released)


@pytest.mark.parametrize('variant', parity.SIZES)
def test_detector_file_through_load_from(detection, tmp_path, variant):
    cfg = detection(variant)
    init_default_scope('mmdet')
    released = released_file('det', variant, MODELS.build(cfg.model), tmp_path / 'file.pth')
    runner = load_runner(cfg, str(tmp_path / 'file.pth'))
    assert_equal(runner.model, released)


@pytest.mark.parametrize('variant', parity.SIZES)
def test_segmentor_file_through_load_from(segmentation, tmp_path, variant):
    cfg = segmentation(variant)
    init_default_scope('mmseg')
    released = released_file('seg', variant, MODELS.build(cfg.model), tmp_path / 'file.pth')
    runner = load_runner(cfg, str(tmp_path / 'file.pth'))
    assert_equal(runner.model, released)
