"""Names of models, the configs that they stand for, and their weights."""

import pytest
import torch
from archs import PICO
from mmengine.config import Config
from plain_swin import mm_names

from sparx_mm import SparXMamba
from sparx_mm.errors import UserError
from sparx_mm.finetuning import weights as weights_module
from sparx_mm.finetuning.models import find_model, list_models
from sparx_mm.finetuning.weights import use_weights
from sparx_mm.state_dicts import SPARX


@pytest.mark.parametrize(
    'task,name,masks,whole,config',
    [
        ('detection', None, True, 'mask_rcnn_sparx_t', 'mask_rcnn_sparx_t_1x'),
        ('detection', None, False, 'faster_rcnn_sparx_t', 'mask_rcnn_sparx_t_1x'),
        ('detection', 'vmamba_s', True, 'mask_rcnn_vmamba_s', 'mask_rcnn_vmamba_s_1x'),
        ('detection', 'faster_rcnn_sparx_b', True, 'faster_rcnn_sparx_b', 'mask_rcnn_sparx_b_1x'),
        ('segmentation', 'sparx_swin_t', False, 'upernet_sparx_swin_t', 'upernet_sparx_swin_t'),
        (
            'segmentation',
            'semantic_fpn_sparx_s',
            False,
            'semantic_fpn_sparx_s',
            'semantic_fpn_sparx_s',
        ),
        ('classification', None, False, 'sparx_t', 'sparx_t_in1k'),
    ],
)
def test_names(task, name, masks, whole, config):
    found, path = find_model(task, name, masks)
    assert (found, path.stem) == (whole, config)


def test_every_listed_model_has_a_config():
    for task in ('detection', 'segmentation', 'classification'):
        models = list_models(task)
        assert len(models) >= 8 and all(path.is_file() for path in models.values())


@pytest.mark.parametrize(
    'name,message',
    [
        ('sparx_x', r'--model sparx_x is no model for detection.*: they are .*mask_rcnn_vmamba_t'),
        ('mask_rcnn_sparx_t', 'learns masks, and not every object has one'),
    ],
)
def test_models_that_do_not_fit(name, message):
    with pytest.raises(UserError, match=message):
        find_model('detection', name, False)


@pytest.fixture
def cfg():
    old = dict(type='Pretrained', checkpoint='https://example.com/old.pth')
    backbone = dict(type='SparXMamba', arch=dict(base='tiny'), init_cfg=old)
    return Config(dict(model=dict(backbone=backbone)))


@pytest.mark.parametrize('prefix,whole', [('', False), ('backbone.', True), ('encoder.', False)])
def test_a_file_is_a_whole_model_or_a_backbone(cfg, tmp_path, prefix, whole):
    weights = {prefix + name: value for name, value in SparXMamba(PICO).state_dict().items()}
    path = str(tmp_path / 'file.pth')
    torch.save(weights, path)
    assert use_weights(cfg, path, 'detection').startswith(path)
    if whole:
        assert (cfg.load_from, cfg.model.backbone.init_cfg) == (path, None)
    else:
        assert cfg.load_from is None
        assert cfg.model.backbone.init_cfg.checkpoint == path
        assert cfg.model.backbone.init_cfg.get('prefix', '') == prefix


def test_a_classifier_starts_from_a_classifier_with_its_head(cfg, tmp_path):
    path = str(tmp_path / 'file.pth')
    weights = SPARX.to_released(SparXMamba(PICO).state_dict())
    torch.save(weights, path)
    use_weights(cfg, path, 'classification')
    assert cfg.load_from is None and cfg.model.backbone.init_cfg.checkpoint == path
    torch.save({**weights, 'classifier.3.weight': torch.ones(1)}, path)
    use_weights(cfg, path, 'classification')
    assert (cfg.load_from, cfg.model.backbone.init_cfg) == (path, None)


def test_a_plain_swin(cfg, tmp_path):
    path = str(tmp_path / 'swin.pth')
    torch.save({name: torch.ones(1) for name in mm_names((1, 1), (16, 32))}, path)
    use_weights(cfg, path, 'detection')
    assert cfg.model.backbone.init_cfg == dict(type='PretrainedSwin', checkpoint=path)


@pytest.mark.parametrize('kind', ['Pretrained', 'mmengine.model.PretrainedInit'])
def test_random_weights(cfg, kind):
    cfg.model.backbone.init_cfg.type = kind
    assert use_weights(cfg, 'none', 'detection') == 'random weights'
    # a file's would be of type Pretrained
    assert cfg.model.backbone.init_cfg == weights_module.FAN_IN
    assert 'none were released' in use_weights(cfg, None, 'detection')


@pytest.mark.parametrize('name, init', [('VMamba', 'Kaiming'), ('GroupMamba', 'Constant')])
def test_only_backbones_that_gain_by_it_change_their_weights(cfg, name, init):
    cfg.model.backbone = dict(type=name, arch='tiny', init_cfg=dict(type='Constant', val=0))
    use_weights(cfg, 'none', 'detection')
    assert cfg.model.backbone.init_cfg.type == init


def test_random_weights_do_not_shrink_with_the_width():
    backbone = SparXMamba(PICO, init_cfg=dict(weights_module.FAN_IN))
    backbone.init_weights()
    for layer in backbone.stages[3].layers:
        for module in (layer.ffn.fc1, layer.ffn.fc2, layer.mixer.out_proj):
            std = module.weight.std().item() * module.in_channels**0.5
            assert std == pytest.approx(1, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize('task', ['detection', 'segmentation'])
def test_released_weights_are_those_of_the_config(task, monkeypatch):
    weights = {f'backbone.{name}': value for name, value in SparXMamba(PICO).state_dict().items()}
    weights['head.fc.weight'] = torch.ones(1)
    monkeypatch.setattr(weights_module, 'check_checkpoint', lambda *args: None)
    monkeypatch.setattr(weights_module, 'load_checkpoint', lambda *args: weights)
    count = 0
    for path in set(list_models(task).values()):
        cfg = Config.fromfile(path)
        url = (cfg.model.backbone.get('init_cfg') or {}).get('checkpoint', '')
        if url.startswith('https://'):
            assert use_weights(cfg, None, task).startswith(url), path
            assert cfg.model.backbone.init_cfg.checkpoint == url
            count += 1
    assert count >= 15


def test_a_dense_model_takes_the_backbone_of_a_classifier(cfg, tmp_path):
    path = str(tmp_path / 'file.pth')
    weights = {f'backbone.{name}': value for name, value in SparXMamba(PICO).state_dict().items()}
    torch.save({**weights, 'head.fc.weight': torch.ones(1)}, path)
    text = use_weights(cfg, path, 'segmentation')
    assert 'all heads are new' in text and cfg.load_from is None
    assert cfg.model.backbone.init_cfg == dict(
        type='Pretrained', checkpoint=path, prefix='backbone.'
    )
    use_weights(cfg, path, 'classification')
    assert (cfg.load_from, cfg.model.backbone.init_cfg) == (path, None)


def test_weights_that_are_no_backbone(cfg, tmp_path):
    path = str(tmp_path / 'file.pth')
    with pytest.raises(UserError, match='--weights: .*file.pth.*--weights none'):
        use_weights(cfg, path, 'detection')
    torch.save({'conv.weight': torch.ones(1)}, path)
    with pytest.raises(
        UserError,
        match='holds no backbone of SparX, VMamba, VSSD, GroupMamba, PlainMamba, Vim or Swin',
    ):
        use_weights(cfg, path, 'detection')
