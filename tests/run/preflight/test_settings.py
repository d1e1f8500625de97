"""Settings that contradict each other end in one line."""

import pytest
from classification import CONFIGS as CLASSIFIERS
from detection import CONFIGS as DETECTORS
from mmengine.config import Config
from segmentation import CONFIGS as SEGMENTORS

from sparx_mm.engine.evaluation.selective_iou import SelectiveIoUMetric
from sparx_mm.errors import UserError
from sparx_mm.run import load_config
from sparx_mm.run.preflight import check_settings, settle_workers

FULL = dict(
    train_dataloader={}, train_cfg={}, optim_wrapper={},
    val_dataloader={}, val_cfg={}, val_evaluator={},
    test_dataloader={}, test_cfg={}, test_evaluator={},
)  # fmt: skip
VAL = ('val_dataloader', 'val_cfg', 'val_evaluator')


def _check(splits=('train', 'val'), **changes):
    check_settings(Config({**FULL, **changes}), splits)


def problem(splits=('train', 'val'), **changes):
    with pytest.raises(UserError) as error:
        _check(splits, **changes)
    return str(error.value)


def test_the_shipped_configs():
    for path in (*DETECTORS, *SEGMENTORS, *CLASSIFIERS):
        check_settings(load_config(str(path)), ('train', 'val', 'test'))


def test_loops():
    _check()
    _check(**dict.fromkeys(VAL))
    _check(('test',), train_dataloader=None, train_cfg=None, optim_wrapper=None)
    assert problem(val_dataloader=None) == (
        'val_dataloader is None or missing, and val_cfg and val_evaluator are not: give '
        'val_dataloader, or val_cfg=None val_evaluator=None'
    )
    assert 'give val_cfg, or val_dataloader=None' in problem(val_cfg=None)
    # mmengine refuses those that do not run too
    assert 'give test_cfg, or' in problem(test_cfg=None)
    line = problem(train_cfg=None)
    assert line.endswith(': give train_cfg')
    line = problem(train_dataloader=None, train_cfg=None, optim_wrapper=None)
    assert line.startswith('train_dataloader and train_cfg and optim_wrapper are None')


@pytest.mark.parametrize('workers', [dict(num_workers=0), dict()])
def test_loaders_without_workers(workers):
    loader = dict(workers, batch_size=2, persistent_workers=True, prefetch_factor=2)
    cfg = Config(dict(train_dataloader=loader, val_dataloader=None))
    settle_workers(cfg)
    assert cfg.train_dataloader == dict(workers, batch_size=2)


def test_loaders_with_workers():
    loader = dict(num_workers=2, persistent_workers=True)
    cfg = Config(dict(train_dataloader=loader))
    settle_workers(cfg)
    assert cfg.train_dataloader == loader


def _segmentation(metric, *steps):
    pipeline = [dict(type=step) for step in steps]
    return dict(
        default_scope='mmseg',
        test_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=dict(pipeline=pipeline))),
        test_evaluator=metric,
    )


def test_metrics_that_need_label_maps():
    iou = dict(type='IoUMetric')
    _check(('test',), **_segmentation(iou, 'LoadAnnotations', 'PackSegInputs'))
    _check(('test',), **_segmentation(dict(iou, format_only=True, output_dir='o'), 'PackSegInputs'))
    _check(('test',), **_segmentation(dict(type='MyMetric'), 'PackSegInputs'))
    line = problem(('test',), **_segmentation([iou], 'LoadImageFromFile', 'PackSegInputs'))
    assert line.startswith('test_evaluator.0 is IoUMetric, which needs label maps, and no step')
    assert 'test_evaluator.0.format_only=True' in line
    line = problem(('test',), **_segmentation(dict(type=SelectiveIoUMetric), 'PackSegInputs'))
    assert line.startswith('test_evaluator is SelectiveIoUMetric, which needs')


def test_sliding_windows():
    slide = dict(mode='slide', crop_size=(64, 64))
    _check(model=dict(test_cfg=dict(slide, stride=(42, 42))))
    _check(model=dict(test_cfg=dict(mode='whole')))
    _check(model=dict(test_cfg=None))
    assert 'without stride: give' in problem(model=dict(test_cfg=slide))
    line = problem(model=dict(module=dict(test_cfg=dict(mode='slide'))))
    assert line.startswith("model.module.test_cfg.mode is 'slide' without crop_size and stride")


@pytest.mark.parametrize('number,is_allowed', [(5, False), (6, True), (7, True), (81, False)])
@pytest.mark.parametrize(
    'classes', [dict(num_classes=6), dict(num_things_classes=4, num_stuff_classes=2)]
)
def test_class_weights(number, is_allowed, classes):
    loss = dict(type='CrossEntropyLoss', class_weight=[1.0] * number)
    for losses, key in ((dict(loss_cls=loss), ''), (dict(loss_decode=[dict(), loss]), '.1')):
        model = dict(panoptic_head=dict(classes, **losses))
        if is_allowed:
            _check(model=model)
        else:
            line = problem(model=model)
            assert line.startswith(f'model.panoptic_head.{next(iter(losses))}{key}.class_weight ')
            assert f'has {number} entries' in line and 'has 6 classes' in line


def test_other_class_weights():
    for weight in (None, 2.0, 'weights.npy'):
        _check(model=dict(head=dict(num_classes=6, loss=dict(class_weight=weight))))


@pytest.mark.tries('a mistake in the config')
@pytest.mark.parametrize(
    'key,value',
    [
        ('train_cfg.val_interval', 0),
        ('train_cfg.val_interval', '1'),
        ('train_cfg.val_begin', '1'),
        ('default_hooks.checkpoint.interval', '1'),
        ('default_hooks.checkpoint.interval', [1]),
    ],
)
def test_numbers_that_are_read_after_an_epoch(key, value):
    node, _, name = key.rpartition('.')
    changes = dict(train_cfg={name: value})
    if node != 'train_cfg':
        changes = dict(default_hooks=dict(checkpoint={name: value}))
    line = problem(**changes)
    assert line == f'{key} is {value!r}: give a number of epochs or iterations, from 1'


def test_numbers_that_mmengine_takes():
    _check(default_hooks=dict(checkpoint=None))
    _check(default_hooks=dict(checkpoint=dict(interval=-1)), train_cfg=dict(val_interval=2.0))
    without = dict.fromkeys(VAL)
    _check(('train',), train_cfg=dict(val_interval=0), **without)


@pytest.mark.tries('a mistake in the config')
def test_a_standard_deviation_of_nothing():
    bad = dict(mean=[1.0] * 3, std=[1.0, 0.0, 1.0])
    for changes in (dict(data_preprocessor=bad), dict(model=dict(data_preprocessor=bad))):
        assert 'data_preprocessor.std is [1.0, 0.0, 1.0], and pixels' in problem(**changes)
    _check(model=dict(data_preprocessor=dict(mean=[0.0] * 3, std=[1.0] * 3)))
