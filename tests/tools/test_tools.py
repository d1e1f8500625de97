"""The command lines: help, and mistakes that end in one line."""

import os
import runpy
import sys

import pytest
from detection import ROOT, tiny_config
from tool_process import run_tool

pytestmark = pytest.mark.stack
CONFIG = str(ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py')
TOOLS = sorted(path for path in (ROOT / 'tools').glob('*.py') if path.stem != 'openmp')


@pytest.mark.parametrize('tool', TOOLS, ids=lambda path: path.stem)
def test_help(tool, tmp_path):
    assert run_tool(tool.stem, '--help', folder=tmp_path).startswith(f'usage: {tool.name}')


@pytest.mark.parametrize(
    'tool,args,message',
    [
        ('train', [], 'required: config'),
        ('train', ['none.py'], 'no config file {cwd}/none.py'),
        ('train', [CONFIG, '--nonsense'], 'unrecognized arguments: --nonsense'),
        ('train', [CONFIG, '--launcher', 'ssh'], "invalid choice: 'ssh'"),
        ('train', [CONFIG, '--cfg-options', 'a'], "'a' is not of the form"),
        ('train', [CONFIG, '--cfg-options', 'a=[1,(2]'], 'a=[1,(2] cannot be'),
        ('train', [CONFIG, '--cfg-options', "a={'b':(1,2)}"], 'cannot be'),
        ('train', [CONFIG, '--cfg-options', 'load_from.x.y=1'], 'do not fit'),
        ('train', [CONFIG, '--amp-dtype', 'half'], "invalid choice: 'half'"),
        ('train', [CONFIG, '--amp-dtype', 'float16'], '--amp-dtype bfloat16'),
        (
            'train',
            [CONFIG, '--cfg-options', 'optim_wrapper.type=AmpOptimWrapper'],
            'take bfloat16 with --amp-dtype bfloat16',
        ),
        ('train', [CONFIG, '--amp'], 'data set not found'),
        ('train', [CONFIG, '--launcher', 'pytorch'], 'torchrun'),
        (
            'train',
            [CONFIG],
            'data set not found: {cwd}/data/coco/annotations/instances_train2017'
            '.json (train_dataloader.dataset.ann_file) (and 4 more)',
        ),
        ('test', [CONFIG], 'required: checkpoint'),
        ('test', [CONFIG, 'none.pth', '--out', 'a.json'], 'must end in .pkl'),
        (
            'test',
            [CONFIG, 'none.pth'],
            'data set not found: {cwd}/data/coco/annotations/instances_val2017',
        ),
        ('draw_predictions', [CONFIG, 'none.pth', '--num', 'x'], 'invalid int'),
        ('draw_predictions', [CONFIG, 'none.pth', '--num', '0'], 'at least 1'),
        ('test', [CONFIG, 'none.pth', '--show'], '--show-dir'),
        ('test', [CONFIG, 'none.pth', '--report', 'a.pdf'], 'must end in .html, got a.pdf'),
        ('train', [CONFIG, '--track', 'mlflow'], "invalid choice: 'mlflow'"),
        ('plot_logs', ['none'], 'no log of a training in {cwd}/none'),
        ('plot_logs', ['a', 'b', '--names', 'c'], '--names has 1 names for 2 runs'),
        ('plot_logs', ['a', './a'], 'a run is given twice'),
        ('browse_dataset', [CONFIG, '--num', '0'], 'at least 1'),
        ('browse_dataset', [CONFIG, '--seed', '-1'], '--seed from 0'),
        ('browse_dataset', [CONFIG], 'data set not found: {cwd}/data/coco/annotations'),
        ('make_shapes', ['shapes', '--train', '0'], 'at least 1'),
        ('make_shapes', ['/dev/null/x'], '/dev/null'),
        ('make_aerial', ['towns', '--size', '8'], 'size at least 16'),
        ('list_areas', ['dota'], "invalid choice: 'dota'"),
        ('list_areas', ['potsdam'], '{cwd}/data/potsdam/img_dir/train is no folder'),
        ('finetune', ['--task', 'detection'], '--images DIR is missing'),
        ('finetune', ['--task', 'pose'], "invalid choice: 'pose'"),
        ('demo', ['--val', '0'], 'at least 1'),
        ('demo', ['--parts', 'panoptic'], "invalid choice: 'panoptic'"),
        ('demo', ['--cfg-options', 'a'], "'a' is not of the form KEY=VALUE"),
        ('demo', ['--cfg-options', 'detection.=1'], 'give detection.KEY=1'),
        ('demo', ['--work-dir', '/dev/null/x'], 'Not a directory'),
    ],
)
def test_mistakes_end_in_one_line(run, monkeypatch, tool, args, message):
    for variable in ('RANK', 'DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cpu')
    status, error = run(tool, *args)
    assert status in (1, 2)
    (line,) = error.splitlines()
    assert line.startswith('error: ')
    assert message.format(cwd=os.getcwd()) in line


@pytest.mark.parametrize(
    'option,message',
    [
        ('model.backbone.arch=huge', "arch 'huge' of SparXMamba is unknown"),
        ('model.backbone.arch.depth=2', "arch keys ['depth'] are unknown"),
        ('model.backbone.type=SparXMambo', 'SparXMambo is not in the'),
        ('model.backbone.depth=3', "unexpected keyword argument 'depth'"),
        ('model.backbone.frozen_stages=9', 'frozen_stages'),
        ('optim_wrapper.paramwise_cfg.layer_decay_rate=2', 'in (0, 1], got 2'),
        ('train_dataloader.dataset.type=CocoDatasets', 'CocoDatasets is not in'),
        ('load_from=none.pth', 'load_from: the file {cwd}/none.pth does not'),
    ],
)
def test_mistakes_in_options(run, config, tmp_path, option, message):
    status, error = run('train', config, '--cfg-options', option)
    assert status == 1
    line = error.splitlines()[-1]
    assert line.startswith('error: ')
    assert message.format(cwd=tmp_path) in line
    assert 'Traceback' not in error


@pytest.mark.parametrize(
    'tool,args,message',
    [
        ('train', ['--resume', 'none.pth'], '--resume: the file {cwd}/none.pth'),
        ('test', ['none.pth'], 'checkpoint: the file {cwd}/none.pth'),
        ('draw_predictions', ['none.pth'], 'checkpoint: the file {cwd}/none.pth'),
    ],
)
def test_missing_checkpoints(run, config, tmp_path, tool, args, message):
    status, error = run(tool, config, *args)
    assert status == 1
    (line,) = error.splitlines()
    assert message.format(cwd=tmp_path) in line


def test_weights_that_cannot_be_downloaded(run, shapes, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    # port 9 is "discard": nobody listens on it
    url = 'https://127.0.0.1:9/a.pth'
    init_cfg = dict(type='Pretrained', checkpoint=url)
    cfg = tiny_config(CONFIG, shapes, model__backbone__init_cfg=init_cfg)
    cfg.dump(tmp_path / 'tiny.py')
    status, error = run('train', tmp_path / 'tiny.py')
    assert status == 1
    (line,) = error.splitlines()
    assert f'{url} cannot be downloaded (' in line
    assert 'model.backbone.init_cfg.checkpoint=FILE' in line
    cache = tmp_path / 'cache/hub/checkpoints'
    assert [file.name for file in cache.iterdir()] == ['a.pth.lock']


@pytest.mark.parametrize(
    'tool, file',
    [
        ('make_shapes', 'annotations/instances_val.json'),
        ('make_aerial', 'ann_dir/val/000000.png'),
    ],
)
def test_a_set_is_drawn_and_it_is_said(tool, file, monkeypatch, capsys, tmp_path):
    path = str(ROOT / f'tools/{tool}.py')
    args = ['set', '--train', '2', '--val', '1', '--size', '32']
    for told in ('drawn', 'already there'):
        monkeypatch.setattr(sys, 'argv', [path, *args])
        runpy.run_path(path, run_name='__main__')
        assert f'set: {told}, 2 training and 1 validation images' in capsys.readouterr().out
    assert (tmp_path / 'set' / file).is_file()


def test_list_areas_says_what_it_lists(aerial, monkeypatch, capsys):
    path = str(ROOT / 'tools/list_areas.py')
    root = aerial / 'vaihingen'
    monkeypatch.setattr(sys, 'argv', [path, 'vaihingen', '--root', str(root)])
    runpy.run_path(path, run_name='__main__')
    lines = [f'{root}/splits/{name}.txt: {n} patches' for name, n in (('train', 12), ('test', 4))]
    assert capsys.readouterr().out.splitlines() == lines
