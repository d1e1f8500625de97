"""What only the first validation would find is found before the first step."""

import json
import random
import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from classification import CONFIGS as CLASSIFIERS
from classification import tiny_config as tiny_classifier
from detection import ROOT, tiny_config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from segmentation import tiny_config as tiny_segmentor
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from sparx_mm.engine.hooks.rehearsal import _fill
from sparx_mm.errors import UserError
from sparx_mm.run.runner import build_runner

pytestmark = pytest.mark.stack
DETECTOR = ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py'
SEGMENTOR = ROOT / 'configs/mmseg/upernet_sparx_t.py'
CLASSIFIER = next(path for path in CLASSIFIERS if path.stem == 'sparx_t_in1k')


class _Stopped(Exception):
    pass


class _Stop(Hook):
    """Ends a run before its first step."""

    def before_train_iter(self, runner, *args, **kwargs):
        raise _Stopped


def _start(cfg):
    """Train up to the first step; return the runner."""
    runner = build_runner(cfg, ('train', 'val'))
    runner.register_hook(_Stop())
    with pytest.raises(_Stopped):
        runner.train()
    return runner


def problem(cfg):
    with pytest.raises(UserError) as error:
        _start(cfg)
    return str(error.value)


@pytest.fixture
def detector(shapes, tmp_path):
    return lambda **options: tiny_config(DETECTOR, shapes, str(tmp_path / 'out'), **options)


@pytest.fixture
def segmentor(ade, tmp_path):
    return lambda **options: tiny_segmentor(SEGMENTOR, ade, str(tmp_path / 'out'), **options)


@pytest.fixture
def classifier(imagenet, tmp_path):
    return lambda **options: tiny_classifier(CLASSIFIER, imagenet, str(tmp_path / 'out'), **options)


@pytest.mark.tries('save_best or')
@pytest.mark.parametrize('name', ['bbox_mAP', ['coco/segm_mAP', 'coco/mAP']])
def test_names_of_a_detectors_metrics(detector, name):
    """Named even if an untrained detector finds nothing."""
    cfg = detector(
        default_hooks__checkpoint__save_best=name,
        default_hooks__checkpoint__rule='greater',
        model__test_cfg__rcnn__score_thr=1.0,
    )
    wrong = name if isinstance(name, str) else name[1]
    assert problem(cfg).startswith(
        f'default_hooks.checkpoint.save_best is {wrong!r}; this evaluator gives coco/bbox_mAP, '
    )


@pytest.mark.tries('save_best or')
def test_names_of_other_metrics(segmentor, classifier):
    cfg = segmentor(
        val_evaluator__iou_metrics=['mDice'], default_hooks__checkpoint__save_best='mIoU'
    )
    assert problem(cfg).endswith("is 'mIoU'; this evaluator gives aAcc, mDice, mAcc")
    stop = dict(type='EarlyStoppingHook', monitor='accuracy/top5', rule='greater')
    cfg = classifier(custom_hooks=[stop], val_evaluator__topk=(1,))
    assert problem(cfg).startswith("the monitor of EarlyStoppingHook is 'accuracy/top5'; this")


@pytest.mark.tries('save_best or')
def test_a_rate_that_waits_for_no_metric(classifier):
    wait = dict(type='ReduceOnPlateauLR', by_epoch=True, rule='greater')
    cfg = classifier(param_scheduler=[dict(wait, monitor='accuracy_top-1')])
    assert problem(cfg).startswith(
        "the monitor of ReduceOnPlateauLR in param_scheduler is 'accuracy_top-1'; this evaluator "
        'gives accuracy/top1, '
    )
    _start(classifier(param_scheduler=[dict(wait, monitor='accuracy/top1')]))


def test_a_metric_that_is_better_one_knows_not_how(segmentor):
    auto = dict(default_hooks__checkpoint__save_best='auto')
    cfg = segmentor(val_evaluator__prefix='ours', **auto)
    _start(cfg)
    cfg = segmentor(**auto)
    cfg.val_evaluator = dict(type='SumOfNothing')
    assert 'takes the first metric, zork, and' in problem(cfg)


@pytest.fixture(autouse=True, scope='module')
def sum_of_nothing():
    from mmengine.evaluator import BaseMetric
    from mmengine.registry import METRICS

    class SumOfNothing(BaseMetric):
        def process(self, data_batch, data_samples):
            self.results.append(1)

        def compute_metrics(self, results):
            return dict(zork=sum(results))

    METRICS.register_module(module=SumOfNothing)
    yield
    METRICS.module_dict.pop('SumOfNothing')


@pytest.mark.tries('save_best or')
@pytest.mark.parametrize('change', ['ids', 'names'])
def test_annotations_of_other_images(detector, shapes, tmp_path, change):
    content = json.loads((shapes / 'annotations/instances_val.json').read_text())
    last = content['images'][-1]
    if change == 'ids':
        for one in content['annotations']:
            one['image_id'] += 1000 * (one['image_id'] == last['id'])
        last['id'] += 1000
    else:
        last['file_name'] = 'other.png'
    (tmp_path / 'val.json').write_text(json.dumps(content))
    line = problem(detector(val_evaluator__ann_file=str(tmp_path / 'val.json')))
    assert line.startswith('val_dataloader and val_evaluator are of different sets')
    assert ('has other.png under its id' if change == 'names' else 'has no image of id') in line


@pytest.mark.parametrize('number', [2, None])
def test_annotations_of_more_images(detector, number):
    cfg = detector(val_dataloader__dataset__indices=number)
    (log,) = Path(_start(cfg).log_dir).glob('*.log')
    warning = 'val_dataloader has 2 images and the annotation file of val_evaluator 3: objects in'
    assert (warning in log.read_text()) == (number is not None)


def test_it_leaves_no_trace(detector, shapes, tmp_path):
    runs = []
    for images in (0, 2):
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
        cfg = detector(default_hooks__rehearsal__num_images=images, randomness=dict(seed=3))
        runner = _start(cfg)
        hub = MessageHub.get_current_instance()
        metric = runner.val_loop.evaluator.metrics[0]
        runs.append(
            dict(
                numbers=(random.random(), np.random.rand(), torch.rand(1).item()),
                weights=runner.model.state_dict(),
                training=[m.training for m in runner.model.modules()],
                hub=sorted(hub.log_scalars),
                metric=(metric.results, metric.img_ids, metric.outfile_prefix),
                order=[next(iter(runner.train_dataloader))['data_samples'][0].img_path],
            )
        )
        shutil.rmtree(tmp_path / 'out')
    weights = [run.pop('weights') for run in runs]
    assert runs[0] == runs[1]
    assert all(value.equal(weights[1][name]) for name, value in weights[0].items())


def test_labels_of_no_objects():
    """Some detectors give them as floats, by which no metric can look up a category."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    none = InstanceData(
        labels=torch.zeros(0), scores=torch.zeros(0), masks=torch.zeros(0, 4, 4, dtype=torch.bool)
    )
    found = _fill(DetDataSample(pred_instances=none)).pred_instances
    assert found.labels.tolist() == [0] and found.labels.dtype == torch.int64
    assert found.scores.tolist() == [1.0] and found.masks.shape == (1, 4, 4)


def test_what_other_hooks_prepare_is_not_rehearsed(detector):
    class Prepares(Hook):
        def before_val(self, runner):
            pass

    cfg = detector(default_hooks__checkpoint__save_best='bbox_mAP')
    runner = build_runner(cfg, ('train', 'val'))
    runner.register_hook(Prepares())
    runner.register_hook(_Stop())
    with pytest.raises(_Stopped):
        runner.train()


@pytest.mark.tries('a batch of one image that leaves')
@pytest.mark.parametrize(
    'options,remedy',
    [
        # 12 images
        (dict(train_dataloader__batch_size=11), 'train_dataloader.drop_last=True'),
        (dict(train_dataloader__batch_size=1), 'train_dataloader.batch_size=2'),
        (dict(train_dataloader__batch_size=11, train_dataloader__drop_last=True), None),
        (dict(train_dataloader__batch_size=5), None),
        (dict(train_dataloader__batch_size=11, model__backbone__norm_eval=True), None),
    ],
)
def test_a_lone_image_of_32_px(classifier, options, remedy):
    cfg = classifier(
        model__train_cfg=None, train_dataloader__sampler=dict(type='DefaultSampler'), **options
    )
    if remedy is None:
        _start(cfg)
        return
    line = problem(cfg)
    assert line.endswith((f'give {remedy}', f'give {remedy}, or another batch_size'))
    assert 'the batch norm model.backbone.' in line and 'has one value per channel' in line


@pytest.mark.tries('a batch of one image that leaves')
def test_a_lone_image_with_pooling_to_one_value(segmentor):
    line = problem(segmentor(train_dataloader__batch_size=1, model__backbone__norm_eval=True))
    assert line.startswith('train_dataloader.batch_size is 1, and the batch norm model.decode_head')


def test_rows_of_tokens_of_a_lone_image(monkeypatch):
    """One image of 49 tokens gives a batch norm 49 rows, as in mmpretrain's LeViT."""
    from sparx_mm.engine.rehearsal import lone_image

    class Tokens(nn.Module):
        def __init__(self, count):
            super().__init__()
            self.count, self.norm = count, nn.BatchNorm1d(4)
            self.data_preprocessor = lambda batch, training: batch

        def _run_forward(self, data, mode):
            return self.norm(torch.rand(self.count, 4))

    loader = DataLoader([0, 1], batch_size=1)
    for count, raises in ((49, False), (1, True)):
        runner = SimpleNamespace(model=Tokens(count), train_dataloader=loader)
        with pytest.raises(UserError) if raises else nullcontext():
            lone_image.check_lone_image(runner)
    stream = DataLoader(Stream(), batch_size=2)
    lone_image.check_lone_image(SimpleNamespace(model=Tokens(1), train_dataloader=stream))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(5))


def test_a_lone_image_of_64_px(classifier):
    cfg = classifier(model__train_cfg=None, train_dataloader__batch_size=1)
    for step in cfg.train_dataloader.dataset.pipeline:
        if step['type'] == 'RandomResizedCrop':
            step['scale'] = 64
    _start(cfg)
