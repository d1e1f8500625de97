"""Files in the layout of the released ones load in full, wherever given."""
import parity
import pytest
import torch
from detection import ROOT, tiny_config
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from sparx_mm import SparXMamba
from sparx_mm.engine import build_runner, load_runner
from sparx_mm.weights import rename_to_released

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
            model__backbone__arch=arch,
            model__neck__in_channels=list(dims))

    return make


def segmentation(variant):
    """An UperNet as mmsegmentation configures one."""
    arch = parity.ARCHS[variant]
    dims = SparXMamba.arch_zoo[arch]['embed_dims']
    head = dict(num_classes=150, norm_cfg=dict(type='BN'))
    return dict(
        type='EncoderDecoder',
        backbone=dict(type='SparXMamba', arch=arch),
        decode_head=dict(
            type='UPerHead',
            in_channels=list(dims),
            in_index=[0, 1, 2, 3],
            channels=512,
            pool_scales=(1, 2, 3, 6),
            **head),
        auxiliary_head=dict(
            type='FCNHead',
            in_channels=dims[2],
            in_index=2,
            channels=256,
            num_convs=1,
            **head),
        test_cfg=dict(mode='whole'))


def released_names(model):
    """A model's tensors by the names of a released file."""
    return rename_to_released(model.state_dict(), PREFIX)


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
    cfg.model.backbone.init_cfg = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'file.pth'))
    model = build_runner(cfg).model
    model.init_weights()
    loaded = rename_to_released(model.backbone.state_dict())
    assert loaded.keys() == released.keys()
    assert all(loaded[k].equal(released[k]) for k in released)


@pytest.mark.parametrize('variant', 'tsb')
def test_detector_file_through_load_from(detection, tmp_path, variant):
    cfg = detection(variant)
    init_default_scope('mmdet')
    released = released_file('det', variant, MODELS.build(cfg.model),
                             tmp_path / 'file.pth')
    runner = load_runner(cfg, str(tmp_path / 'file.pth'))
    assert_equal(runner.model, released)


@pytest.mark.parametrize('variant', 'tsb')
def test_segmentor_file_through_load_from(tmp_path, variant):
    init_default_scope('mmseg')
    model = segmentation(variant)
    released = released_file('seg', variant, MODELS.build(model),
                             tmp_path / 'file.pth')
    runner = Runner.from_cfg(
        Config(
            dict(
                model=model,
                work_dir=str(tmp_path / 'run'),
                load_from=str(tmp_path / 'file.pth'),
                default_scope='mmseg',
                default_hooks=dict(coverage=dict(type='CoverageHook')))))
    runner.load_or_resume()
    assert_equal(runner.model, released)
