"""Train, resume, test and paint a classifier from command lines."""

import re
import shutil

import detection
import mmengine
import pytest
import torch
from archs import PICO
from classification import tiny_config
from detection import ROOT
from mmengine.hooks import EMAHook
from tool_process import run_tool

from sparx_mm import SparXMamba
from sparx_mm.demo import CLASSES
from sparx_mm.errors import UserError
from sparx_mm.run import build_runner, load_config, train

CONFIG = ROOT / 'configs/mmpretrain/sparx_t_in1k.py'
TOP1 = re.compile(r'accuracy/top1: ([\d.]+)')


@pytest.fixture(scope='module')
def config(imagenet, tmp_path_factory):
    """The shipped config for images of 32 px and 2 epochs."""
    path = tmp_path_factory.mktemp('config') / 'tiny.py'
    tiny_config(
        CONFIG,
        imagenet,
        train_cfg__max_epochs=2,
        optim_wrapper__type='AmpOptimWrapper',
        default_hooks__logger__interval=1,
    ).dump(path)
    return path


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory):
    """A folder in which a classifier was trained for 2 epochs."""
    folder = tmp_path_factory.mktemp('run')
    log = run_tool('train', config, '--amp', '--work-dir', 'out', folder=folder)
    assert 'Epoch(train) [2][3/3]' in log and 'BFloat16OptimWrapper' in log
    # once an epoch, and once said to be the best
    assert len(TOP1.findall(log)) == 2
    # from the first iteration of the warm-up
    assert re.search(r'Epoch\(train\) \[1]\[1/3] .* lr: 1.0000e-06 ', log)
    return folder


def test_train_saves_and_keeps_the_best(trained):
    names = {path.name for path in (trained / 'out').glob('*.pth')}
    assert {'epoch_1.pth', 'epoch_2.pth'} < names
    (best,) = names - {'epoch_1.pth', 'epoch_2.pth'}
    assert best.startswith('best_accuracy_top1')


def test_resume_continues(trained, config, tmp_path):
    shutil.copytree(trained / 'out', tmp_path / 'out')
    (tmp_path / 'out/last_checkpoint').write_text(str(tmp_path / 'out/epoch_1.pth'))
    log = run_tool('train', config, '--amp', '--work-dir', 'out', '--resume', folder=tmp_path)
    assert 'Epoch(train) [2][1/3]' in log
    assert 'Epoch(train) [1]' not in log


def test_test_evaluates_writes_and_paints(trained, config, tmp_path):
    log = run_tool(
        'test',
        config,
        trained / 'out/epoch_2.pth',
        '--out',
        'out.pkl',
        '--show-dir',
        'painted',
        folder=tmp_path,
    )
    found = mmengine.load(tmp_path / 'out.pkl')
    assert len(found) == len(CLASSES)
    assert {int(sample['gt_label']) for sample in found} == set(range(6))
    for sample in found:
        assert sample['pred_score'].shape == (6,)
        torch.testing.assert_close(sample['pred_score'].sum(), torch.tensor(1.0))
    hits = sum(int(sample['pred_score'].argmax() == sample['gt_label']) for sample in found)
    (top1,) = TOP1.findall(log)
    assert float(top1) == pytest.approx(100 * hits / len(found), abs=1e-3)
    assert len(list((tmp_path / 'painted').glob('*/*.png'))) == len(found)


def test_a_dense_model_starts_from_it(trained, shapes, tmp_path):
    path = trained / 'out/epoch_2.pth'
    init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    model = build_runner(
        detection.tiny_config(
            ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py',
            shapes,
            str(tmp_path),
            model__backbone__init_cfg=init_cfg,
        )
    ).model
    model.init_weights()
    checkpoint = torch.load(path, weights_only=False)
    average = checkpoint['state_dict']
    raw = checkpoint['ema_state_dict']
    loaded = model.backbone.state_dict()
    names = [name for name in average if name.startswith('backbone.')]
    assert len(names) > 100
    for name in names:
        assert loaded.pop(name.removeprefix('backbone.')).equal(average[name])
    # only detectors have these, and the classifier's norm is in its neck
    assert {name.split('.')[-1] for name in loaded if 'norms' not in name} == {'scale'}
    assert any(not raw[f'module.{name}'].equal(average[name]) for name in names)


def test_plain_pytorch_takes_it_too(trained):
    init_cfg = dict(
        type='Pretrained', checkpoint=str(trained / 'out/epoch_2.pth'), prefix='backbone.'
    )
    model = SparXMamba(dict(PICO, out_norm=None), out_indices=(3,), init_cfg=init_cfg)
    model.init_weights()
    average = torch.load(trained / 'out/epoch_2.pth', weights_only=False)['state_dict']
    for name, value in model.state_dict().items():
        assert value.equal(average[f'backbone.{name}'])


def test_another_classifier_starts_from_the_average(trained, config, tmp_path):
    path = trained / 'out/epoch_2.pth'
    # of other classes, and without the norm that the file has
    options = {
        'model.head.num_classes': 7,
        'model.neck': dict(_delete_=True, type='GlobalAveragePooling'),
        'load_from': str(path),
    }
    runner = build_runner(load_config(str(config), options, str(tmp_path)))
    runner.call_hook('before_run')
    runner.load_or_resume()
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, EMAHook))
    average = torch.load(path, weights_only=False)['state_dict']
    for model in (runner.model, hook.ema_model.module):
        weights = model.state_dict()
        assert all(
            value.equal(average[name])
            for name, value in weights.items()
            if name.startswith('backbone.')
        )
        assert weights['head.fc.weight'].shape[0] == 7


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_the_shipped_config_without_data(tool, tmp_path):
    torch.save({}, tmp_path / 'a.pth')
    more = ['a.pth'] if tool == 'test' else ['--amp']
    log = run_tool(tool, CONFIG, *more, folder=tmp_path, status=1)
    (error,) = log.splitlines()
    split = 'val' if tool == 'test' else 'train'
    assert f'data set not found: {tmp_path}/data/imagenet/{split}' in error
    assert f'{split if tool == "train" else tool}_dataloader.dataset' in error
    assert 'data_root=DIR' in error


def test_the_shipped_config_needs_a_gpu_or_bfloat16(monkeypatch):
    monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cpu')
    with pytest.raises(UserError, match='bfloat16 with --amp-dtype'):
        train(str(CONFIG))


@pytest.mark.parametrize(
    'options,message',
    [
        ({'train_dataloader.dataset.metainfo': None}, r'subfolders \(6\) .* classes \(1000\)'),
        (
            {'model.head.num_classes': 9, 'model.data_preprocessor.num_classes': 8},
            'give model.data_preprocessor.num_classes=6 model.head.num_classes=6',
        ),
        ({'val_evaluator.topk': 7}, 'topk is 7 .* give val_evaluator.topk=1'),
        ({'model.neck.in_channel': 3}, "unexpected keyword argument 'in_channel'"),
    ],
)
def test_mistakes_are_told_before_training(config, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        train(str(config), amp=True, cfg_options=options, work_dir=str(tmp_path))


def test_swin_trains_an_epoch_too(imagenet, tmp_path):
    path = ROOT / 'configs/mmpretrain/sparx_swin_t_in1k.py'
    cfg = tiny_config(path, imagenet, str(tmp_path), train_cfg__max_epochs=1)
    runner = build_runner(cfg, ('train', 'val'))
    runner.train()
    assert runner.iter == 3
    assert 0 <= runner.val_loop.run()['accuracy/top1'] <= 100
