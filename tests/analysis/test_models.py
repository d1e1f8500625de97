"""Models to look at, from a config or by the name of a backbone."""

import pytest
from detection import ROOT
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import CheckpointLoader

from sparx_mm import SparXMamba
from sparx_mm.analysis import load_model
from sparx_mm.errors import UserError

pytestmark = pytest.mark.stack


def scope_name():
    """Return the name of the current scope; mmengine copies the scope itself."""
    scope = DefaultScope.get_current_instance()
    return scope and scope.scope_name


@pytest.mark.parametrize(
    'config,kind,shape',
    [
        ('mmdet/mask_rcnn_sparx_t_1x.py', 'MaskRCNN', (800, 1280)),
        ('mmseg/semantic_fpn_sparx_t.py', 'EncoderDecoder', (512, 2048)),
    ],
)
def test_configs(monkeypatch, config, kind, shape):

    def refuse(*args, **kwargs):
        raise AssertionError('weights are read')

    monkeypatch.setattr(CheckpointLoader, 'load_checkpoint', refuse)
    scope = scope_name()
    model, usual = load_model(str(ROOT / f'configs/{config}'), {'model.backbone.arch': 'small'})
    assert type(model).__name__ == kind
    assert usual == shape
    assert model.backbone.arch['depths'] == (2, 2, 17, 2)
    assert scope_name() == scope


def test_backbones():
    model, shape = load_model('SparXMamba', dict(arch='small', norm_eval=True))
    assert isinstance(model, SparXMamba)
    assert model.norm_eval and model.arch['depths'] == (2, 2, 17, 2)
    assert shape == (224, 224)


def test_backbones_of_other_libraries():
    model, shape = load_model('mmdet.ResNet', {'depth': 18, 'norm_cfg.type': 'BN'})
    assert type(model).__module__.startswith('mmdet') and model.depth == 18
    assert shape == (224, 224)
    model, shape = load_model('Swin-S', dict(depths=(1, 1, 3, 1), embed_dims=12))
    assert type(model).__name__ == 'SwinTransformer' and len(model.stages[2].blocks) == 3
    with pytest.raises(UserError, match='mmdet.ResNot cannot be built'):
        load_model('mmdet.ResNot')


def test_a_config_of_a_backbone(tmp_path):
    path = tmp_path / 'backbone.py'
    path.write_text(
        "custom_imports = dict(imports=['mmdet.models'])\n"
        "model = dict(type='mmdet.ResNet', depth=18)\n"
    )
    model, shape = load_model(str(path))
    assert type(model).__name__ == 'ResNet'
    assert shape == (224, 224)


@pytest.mark.parametrize(
    'name,options,message',
    [
        (
            'SparXMambo',
            {},
            r"no backbone 'SparXMambo': .*\['GroupMamba', 'PlainMamba', .*, 'SparXMamba', .* 'VSSD'\], another",
        ),
        # a part is registered too, and is no backbone
        ('SS2D', {}, "no backbone 'SS2D'"),
        ('SparXMamba', dict(arch='huge'), "'huge' of SparXMamba is unknown; use"),
        ('SparXMamba', dict(depth=3), "unexpected keyword argument 'depth'"),
        ('none.py', {}, 'no config file .*/none.py'),
        ('upernet_vssd_t', {}, r'; did you mean sparx_mm::upernet_vssd_t\?$'),
    ],
)
def test_mistakes(name, options, message):
    with pytest.raises(UserError, match=message):
        load_model(name, options)


@pytest.mark.parametrize(
    'name,options,message',
    [
        (
            'upernet_sparx_t',
            {'model.decode_head.in_channels': [96, 192]},
            'upernet_sparx_t.py cannot be built: AssertionError$',
        ),
        ('_base_/models/upernet', {}, 'is it a base of another config'),
    ],
)
def test_a_model_that_cannot_be_built(name, options, message):
    with pytest.raises(UserError, match=message):
        load_model(str(ROOT / f'configs/mmseg/{name}.py'), options)


def test_a_config_without_a_model(tmp_path):
    (tmp_path / 'empty.py').write_text('a = 1')
    with pytest.raises(UserError, match='empty.py has no model'):
        load_model(str(tmp_path / 'empty.py'))
