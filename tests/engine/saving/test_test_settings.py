"""Checkpoints carry what inference needs as data, and nothing in it is run."""

import copy
import subprocess
import sys

import pytest
import torch
from detection import ROOT, tiny_config
from mmdet.apis import DetInferencer, init_detector
from mmengine.config import Config
from mmengine.registry import DefaultScope
from small_run import make_runner

import sparx_mm
from sparx_mm.checkpoint_io import read_checkpoint
from sparx_mm.engine.saving.test_settings import KEY, collect_settings, read_settings
from sparx_mm.errors import UserError

pytestmark = pytest.mark.stack
CONFIGS = sorted((ROOT / 'configs').glob('mm*/*.py'))


def checkpoint(settings, **meta):
    return dict(state_dict={}, meta={KEY: settings, **meta})


@pytest.fixture(scope='module')
def saved(shapes, tmp_path_factory):
    """A small detector's config, and a file as the hook saves it."""
    cfg = tiny_config(ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py', shapes)
    torch.manual_seed(0)
    model = init_detector(copy.deepcopy(cfg), None, device='cpu')
    meta = dict(classes=('a', 'b', 'c', 'd', 'e', 'f'), palette=[(i, 9, 9) for i in range(6)])
    content = checkpoint(collect_settings(cfg), dataset_meta=meta)
    content['state_dict'] = model.state_dict()
    path = str(tmp_path_factory.mktemp('saved') / 'a.pth')
    torch.save(content, path)
    return cfg, path


def test_the_hook_saves_them(shapes, tmp_path):
    cfg = tiny_config(ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py', shapes)
    hooks = dict(checkpoint=dict(type='SafeCheckpointHook', interval=1))
    runner = make_runner(tmp_path, hooks=hooks)
    runner.cfg = cfg
    runner.train()
    meta = read_checkpoint(str(tmp_path / 'epoch_1.pth'))['meta']
    assert meta[KEY] == collect_settings(cfg)
    assert meta[KEY]['model']['backbone']['arch']['depths'] == cfg.model.backbone.arch.depths


@pytest.mark.parametrize('path', CONFIGS[:: len(CONFIGS) // 8], ids=lambda path: path.stem)
def test_shipped_configs_can_be_read_back(path):
    cfg = Config.fromfile(path)
    settings = collect_settings(cfg)
    read = read_settings(checkpoint(settings), 'a.pth')
    assert read.model.type == cfg.model.type
    assert {**read.model.backbone, 'init_cfg': None} == {**cfg.model.backbone, 'init_cfg': None}
    steps = read.test_dataloader.dataset.pipeline
    assert [s.type for s in steps] == [s.type for s in cfg.test_dataloader.dataset.pipeline]


def test_a_checkpoint_alone_predicts(saved, shapes):
    cfg, path = saved
    image = str(next((shapes / 'val').glob('*.png')))
    (alone,) = sparx_mm.load(checkpoint=path, device='cpu').predict(image)
    (beside,) = sparx_mm.load(cfg, path, device='cpu').predict(image)
    assert len(alone.pred_instances)
    assert alone.pred_instances.bboxes.equal(beside.pred_instances.bboxes)
    inferencer = DetInferencer(weights=path, device='cpu', show_progress=False)
    assert inferencer.model.dataset_meta['classes'] == ('a', 'b', 'c', 'd', 'e', 'f')
    assert inferencer.model.dataset_meta['palette'][3] == (3, 9, 9)
    found = inferencer(image)['predictions'][0]
    assert found['scores'] == alone.pred_instances.scores.tolist()


@pytest.mark.tries('a checkpoint without a config')
@pytest.mark.parametrize('load', [sparx_mm.load, DetInferencer])
def test_without_them_a_config_is_asked_for(tmp_path, load):
    path = str(tmp_path / 'a.pth')
    torch.save(dict(state_dict=dict(a=torch.zeros(1)), meta={}), path)
    key = 'checkpoint' if load is sparx_mm.load else 'weights'
    with pytest.raises(UserError, match='no test settings .*: give the config') as caught:
        load(**{key: path}, device='cpu')
    if load is DetInferencer:
        assert str(caught.value).endswith(f': DetInferencer(CONFIG, {path!r})')


@pytest.mark.tries('a checkpoint without a config')
@pytest.mark.parametrize(
    'place,value',
    [
        (('model', 'backbone', 'type'), 'os.system'),
        (('model', 'type'), 'subprocess.run'),
        (('model', 'type'), 'mmengine.load'),
        (('model', 'type'), 'mmdet.os.system'),
        (('model', 'backbone', 'type'), 'AutoModelForCausalLM'),
        (('model', 'backbone', 'type'), 'mmpretrain.TIMMBackbone'),
        (('model', 'test_cfg', 'rcnn', 'nms', 'type'), '__import__("os").system("true")'),
        (('model', 'neck', '_scope_'), 'antigravity'),
        (('pipeline', 0, 'type'), ['LoadImageFromFile']),
        (('tta_model',), dict(type='builtins.eval')),
    ],
)
def test_parts_that_could_run_code_are_refused(saved, place, value):
    settings = collect_settings(saved[0])
    node = settings
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    with pytest.raises(UserError, match='test settings name .*give the config'):
        read_settings(checkpoint(settings), 'a.pth')


@pytest.mark.tries('a checkpoint without a config')
@pytest.mark.parametrize('settings', [{}, dict(default_scope='os'), dict(model=1), 'text', [1]])
def test_settings_that_are_damaged(settings):
    with pytest.raises(UserError, match='give the config'):
        read_settings(checkpoint(settings), 'a.pth')


def test_what_is_no_data_is_not_saved(saved):
    cfg = copy.deepcopy(saved[0])
    cfg.model.backbone.arch = object()
    assert collect_settings(cfg) is None
    assert collect_settings(Config(dict(model=dict(type='A')))) is None


@pytest.fixture(autouse=True)
def own_scope():
    """Leave the scope as it was."""
    yield
    DefaultScope._instance_dict.clear()


@pytest.mark.slow
def test_a_classifier_that_had_a_teacher(tmp_path):
    """Its class is not imported with the package, and the teacher's may not be read."""
    cfg = Config.fromfile(ROOT / 'configs/mmpretrain/groupmamba_t_in1k.py')
    settings = collect_settings(cfg)
    assert cfg.model.teacher.type == 'TimmClassifier' and settings['model']['teacher'] is None
    torch.save(checkpoint(settings), tmp_path / 'a.pth')
    code = (
        'import sparx_mm, sys, torch\n'
        'from sparx_mm.engine.saving.test_settings import read_settings\n'
        'print(read_settings(torch.load(sys.argv[1]), "a.pth").model.type)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code, str(tmp_path / 'a.pth')], capture_output=True, text=True
    )
    assert done.stdout.endswith('DistilledClassifier\n'), done.stderr


@pytest.mark.slow
def test_the_first_part_that_is_looked_up():
    """A norm of mmcv, before a library has imported mmcv: sets have any order."""
    code = (
        'import sparx_mm.engine\n'
        'from mmengine.registry import MODELS\n'
        'from sparx_mm.engine.saving.test_settings import _is_registered\n'
        'with MODELS.switch_scope_and_registry("mmdet"): pass\n'
        'print(_is_registered("GN"))\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.endswith('True\n'), done.stderr
