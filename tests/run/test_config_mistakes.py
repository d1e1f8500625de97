"""Mistakes in whole configs end a training in one line, before its second step."""

import importlib.util

import pytest
from detection import ROOT
from detection import tiny_config as tiny_detector
from segmentation import tiny_config

from sparx_mm.errors import UserError
from sparx_mm.run import runner as run

pytestmark = pytest.mark.stack
CONFIG = ROOT / 'configs/mmseg/semantic_fpn_sparx_t.py'
DETECTOR = ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py'
FIRST = 'training fails in its first step: '


@pytest.fixture
def train(ade, shapes, tmp_path):
    def train(detects=False, **options):
        if detects:
            cfg = tiny_detector(DETECTOR, shapes, train_cfg__max_epochs=1, **options)
        else:
            cfg = tiny_config(CONFIG, ade, train_cfg__max_iters=1, **options)
        # mmengine keeps a visualizer for each name
        cfg.experiment_name = tmp_path.name
        cfg.dump(tmp_path / 'tiny.py')
        return run.train(str(tmp_path / 'tiny.py'), work_dir=str(tmp_path / 'out'))

    return train


def _without(name):
    return pytest.mark.skipif(importlib.util.find_spec(name) is not None, reason=f'needs no {name}')


@pytest.mark.tries('a mistake in the config')
@pytest.mark.parametrize(
    'options,message',
    [
        (dict(train_dataloader__batch_size=0), '^config: train_dataloader: .*batch_size'),
        (dict(train_dataloader__num_workers=-1), '^config: train_dataloader: num_workers'),
        (dict(train_dataloader__sampler=dict(type='Zork')), '^config: train_dataloader.sampler: .*Zork'),
        (dict(train_dataloader__collate_fn=dict(type='zork')), '^config: train_dataloader: .*not registered'),
        (dict(optim_wrapper__optimizer__type='AdamQ'), '^config: optim_wrapper.optimizer: .*not registered'),
        (dict(optim_wrapper__optimizer__lr='fast'), '^config: optim_wrapper'),
        (dict(optim_wrapper__clip_grad=dict(max_nrom=1.0)), f'^{FIRST}.*max_nrom'),
        (dict(model__decode_head__init_cfg=dict(type='Zork')), f'^{FIRST}KeyError: .*Zork'),
        (dict(model__decode_head__init_cfg=dict(type='Normal', std=1, layr='x')), f'^{FIRST}.*layr'),
        # mmengine 0.10.7 does not look at it before the first batch
        (
            dict(model__data_preprocessor__mean=[1.0] * 4),
            f'^config: model.*(1 or 3|Length)|^{FIRST}The size of tensor',
        ),
        (dict(default_hooks__checkpoint__save_best='IoU.disk'), '^config: default_hooks.checkpoint: .*rule'),
        (dict(param_scheduler=[dict(type='PolyLR', powr=1)]), f'^{FIRST}.*powr'),
        (dict(train_cfg=None), '^train_cfg is None or missing'),
        (dict(val_cfg=None), '^val_cfg is None or missing'),
        (dict(model__neck__in_channels=[16, 24, 32]), '^model.backbone gives maps of'),
        (dict(model__decode_head__loss_decode__class_weight=[1.0] * 3), 'class_weight has 3 entries'),
        (dict(val_dataloader__batch_size=3), 'The image size in a batch should be the same.*batch_size=1'),
        (dict(model__test_cfg=dict(mode='slide', crop_size=(32, 32))), "'slide' without stride"),
        (dict(val_evaluator__iou_metrics=['zork']), f"^{FIRST}.*'zork'. is not supported"),
    ],
)  # fmt: skip
def test_segmentors(train, options, message):
    with pytest.raises(UserError, match=message) as error:
        train(**options)
    assert '\n' not in str(error.value) and len(str(error.value)) < 700


@pytest.mark.tries('a mistake in the config')
@pytest.mark.parametrize(
    'options,message',
    [
        pytest.param(
            dict(visualizer__vis_backends=[dict(type='TensorboardVisBackend')]),
            '(?i)tensorboard',
            marks=_without('tensorboard'),
        ),
        pytest.param(
            dict(visualizer__vis_backends=[dict(type='WandbVisBackend')]),
            'wandb',
            marks=_without('wandb'),
        ),
        (dict(model__bbox_head=dict(type='FCOSHead')), '^config: model: .*bbox_head'),
        (dict(model__roi_head__bbox_head__loss_cls__class_weight=[1.0] * 81), 'has 81 entries'),
        (dict(train_dataloader__dataset__metainfo=3), '^metainfo of CocoDataset must be a dict'),
    ],
)
def test_detectors(train, options, message):
    with pytest.raises(UserError, match=message):
        train(detects=True, **options)


@pytest.mark.tries('an image of another number of channels')
@pytest.mark.parametrize('swaps', [True, False])
def test_gray_images_left_as_they_are(train, swaps):
    pipeline = [
        dict(type='LoadImageFromFile', color_type='grayscale'),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        dict(type='PackDetInputs'),
    ]
    options = dict(
        detects=True,
        train_dataloader__dataset__pipeline=pipeline,
        model__data_preprocessor__bgr_to_rgb=swaps,
    )
    if swaps:
        # the preprocessor that swaps channels widens such images before
        assert train(**options).iter > 0
        return
    message = (
        f'{FIRST}If the mean has 3 values.*; an image has one channel, and three are expected: give'
    )
    with pytest.raises(UserError, match=message):
        train(**options)


def test_no_worker_is_no_mistake(train):
    loaders = {
        f'{split}_dataloader__{key}': value
        for split in ('train', 'val', 'test')
        for key, value in (('num_workers', 0), ('persistent_workers', True))
    }
    runner = train(**loaders)
    assert runner.iter == 1 and not runner.train_dataloader.persistent_workers


def _test(cfg, tmp_path, **options):
    cfg.experiment_name = tmp_path.name
    cfg.dump(tmp_path / 'tiny.py')
    with pytest.raises(UserError) as error:
        run.test(str(tmp_path / 'tiny.py'), None, work_dir=str(tmp_path / 'out'), **options)
    return str(error.value)


def test_augmentation_that_a_model_does_not_have(shapes, tmp_path):
    cfg = tiny_detector(DETECTOR, shapes)
    nms = dict(type='nms', iou_threshold=0.5)
    cfg.tta_model = dict(type='DetTTAModel', tta_cfg=dict(nms=nms, max_per_img=9))
    steps = [
        [dict(type='Resize', scale=(64, 64), keep_ratio=True)],
        [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)],
        [dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                                               'scale_factor', 'flip', 'flip_direction'))],
    ]  # fmt: skip
    cfg.tta_pipeline = [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=steps)]
    line = _test(cfg, tmp_path, tta=True)
    assert line.startswith('the test fails: TTA of instance segmentation does not support now')


def test_a_metric_without_label_maps(ade, tmp_path):
    cfg = tiny_config(CONFIG, ade)
    steps = cfg.test_dataloader.dataset.pipeline
    cfg.test_dataloader.dataset.pipeline = [s for s in steps if s['type'] != 'LoadAnnotations']
    assert _test(cfg, tmp_path).startswith('test_evaluator is IoUMetric, which needs label maps')


def test_images_without_labels(ade, tmp_path):
    cfg = tiny_config(CONFIG, ade)
    steps = cfg.test_dataloader.dataset.pipeline
    cfg.test_dataloader.dataset.pipeline = [s for s in steps if s['type'] != 'LoadAnnotations']
    cfg.test_dataloader.dataset.data_prefix.seg_map_path = 'not/there'
    cfg.test_evaluator.update(format_only=True, output_dir=str(tmp_path / 'maps'))
    cfg.experiment_name = tmp_path.name
    cfg.dump(tmp_path / 'tiny.py')
    assert run.test(str(tmp_path / 'tiny.py'), None, work_dir=str(tmp_path / 'out')) == {}
    assert len(list((tmp_path / 'maps').iterdir())) == 3
