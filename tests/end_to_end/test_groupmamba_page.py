"""The configs of docs/groupmamba.md, from a file in the released layout."""

import re

import pytest
import torch
from archs import PICO_GROUPMAMBA
from classification import tiny_config
from detection import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from sparx_mm.run import build_runner, load_config, load_runner
from sparx_mm.state_dicts import GROUPMAMBA, flatten_model

pytest.importorskip('mmpretrain')
TEXT = (ROOT / 'docs/groupmamba.md').read_text()
TIMMS, MMPRETRAINS, EXAMPLE = re.findall(r'^```python\n(.*?)^```', TEXT, re.M | re.S)
CONFIG = ROOT / 'configs/mmpretrain/groupmamba_t_in1k.py'


def release(imagenet, tmp_path, **options):
    """Make a classifier, and a file of its tensors by the released names."""
    cfg = tiny_config(CONFIG, imagenet, str(tmp_path / 'run'), **options)
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    source = MODELS.build(cfg.model)
    flat = GROUPMAMBA.to_released(source.state_dict(), 'backbone.')
    flat = flatten_model(flat, GROUPMAMBA)
    assert flat['post_network.0.attn.mamba_g4.in_proj.weight'].shape == (20, 10)
    assert {'norm4.bias', 'head.weight', 'dist_head.bias', 'norm1.weight'} <= flat.keys()
    torch.save(flat, tmp_path / 'groupmamba_tiny_ema.pth')
    return cfg, source, str(tmp_path / 'groupmamba_tiny_ema.pth')


def test_a_released_classifier_is_tested_as_it_is(imagenet, tmp_path):
    cfg, source, file = release(imagenet, tmp_path)
    model = load_runner(cfg, file).model
    wanted = source.state_dict()
    assert all(value.equal(wanted[name]) for name, value in model.state_dict().items())


def test_it_trains_from_a_classifier_of_other_classes(imagenet, tmp_path):
    _, source, file = release(imagenet, tmp_path, model__head__num_classes=9)
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    text = EXAMPLE.replace('data/animals', str(imagenet))
    (tmp_path / 'mine.py').write_text(text)
    plain = load_config(str(tmp_path / 'mine.py'))
    assert plain.model.teacher is None and plain.train_cfg.max_epochs == 30
    # the recipe stays
    assert plain.model.type == 'DistilledClassifier' and plain.model.head.alpha == 0.5
    names = sorted(path.name for path in (imagenet / 'train').iterdir())
    options = {
        'load_from': file,
        'model.backbone.arch': dict(PICO_GROUPMAMBA),
        'model.neck.in_channels': 40,
        'model.head.in_channels': 40,
        'train_cfg.max_epochs': 1,
        'optim_wrapper.type': 'OptimWrapper',
    }
    for part in ('head', 'data_preprocessor'):
        options[f'model.{part}.num_classes'] = len(names)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        options.update(
            {
                f'{loader}.num_workers': 0,
                f'{loader}.persistent_workers': False,
                f'{loader}.batch_size': 4,
                f'{loader}.dataset.metainfo.classes': names,
                f'{loader}.dataset.pipeline.1.scale': 32,
            }
        )
    cfg = load_config(str(tmp_path / 'mine.py'), options, str(tmp_path / 'run'))
    runner = build_runner(cfg, ('train',))
    runner.load_or_resume()
    own, loaded = source.state_dict(), runner.model.state_dict()
    anew = {name for name in own if own[name].shape != loaded[name].shape}
    assert {name.rsplit('.', 1)[0] for name in anew} == {'head.fc', 'head.fc_dist'}
    assert all(loaded[name].equal(own[name]) for name in own.keys() - anew)
    runner.train()
    assert runner.epoch == 1


def test_the_teachers_are_there():
    cfg = Config.fromstring(TIMMS, '.py')
    init_default_scope('mmpretrain')
    from sparx_mm.distillation import _check_images

    teacher = Config.fromstring(MMPRETRAINS, '.py').model.teacher
    # the recipe takes it
    recipe = load_config(str(CONFIG), dict(model=dict(teacher=teacher)))
    assert recipe.model.teacher == {k: v for k, v in teacher.items() if k != '_delete_'}
    _check_images(recipe.model.teacher, MODELS.build(recipe.model.data_preprocessor))
    teacher = recipe.model.teacher
    del teacher['init_cfg']
    model = MODELS.build(teacher).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 3, 32, 32), mode='tensor').shape == (1, 1000)
    timm = pytest.importorskip('timm')
    assert timm.models.get_pretrained_cfg(cfg.model.teacher.model_name).num_classes == 1000
