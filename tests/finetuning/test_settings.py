"""The config that follows from facts and choices."""

import pytest
from mmengine.config import Config

from sparx_mm.finetuning.models import find_model
from sparx_mm.finetuning.request import Facts
from sparx_mm.finetuning.rules import Choices
from sparx_mm.finetuning.settings import make_config


@pytest.fixture
def make():
    """Make the config of a task and a number of classes."""

    def make(task, count, model=None, masks=True, trained=40):
        name, path = find_model(task, model, masks)
        sets = {split: dict(type='Own', ann_file=f'{split}.json') for split in ('train', 'val')}
        names = [f'class {i}' for i in range(count)]
        facts = Facts('own', names, [], dict(train=100, val=9), trained, masks, 300, sets, [])
        choices = Choices(64, 30, 4, 1e-4, 0)
        return make_config(Config.fromfile(path), task, name, facts, choices, 7)

    return make


def test_classes_beyond_the_colors_of_coco_have_their_own(make):
    pytest.importorskip('mmdet')
    from mmdet.visualization.palette import get_palette

    assert 'palette' not in make('detection', 80).val_dataloader.dataset.metainfo
    palette = make('detection', 81).val_dataloader.dataset.metainfo.palette
    assert len(set(palette)) == 81
    assert get_palette(palette, 81) == palette


@pytest.mark.parametrize('task', ['detection', 'segmentation', 'classification'])
def test_epochs_rates_and_checkpoints(make, task):
    cfg = make(task, 7)
    assert cfg.train_cfg == dict(type='EpochBasedTrainLoop', max_epochs=30, val_interval=3)
    warmup, cosine = cfg.param_scheduler
    # a tenth of 30 epochs of 10 steps, by the images that are trained
    assert (warmup.end, cosine.T_max) == (30, 30)
    assert cfg.optim_wrapper.optimizer.lr == 1e-4
    hook = cfg.default_hooks.checkpoint
    assert (hook.interval, hook.by_epoch) == (3, True) and hook.save_best != 'auto'
    assert cfg.default_hooks.logger.interval == 10
    assert cfg.test_dataloader == cfg.val_dataloader
    assert cfg.randomness.seed == 7
    # variables of the shipped configs change nothing in a whole one
    assert not {'train_pipeline', 'data_root', 'embed_dims', 'tta_pipeline'} & set(cfg)


def test_sizes(make):
    det = make('detection', 2).train_dataloader.dataset.pipeline
    assert [step.scale for step in det if step.type == 'Resize'] == [(107, 64)]
    seg = make('segmentation', 2)
    assert seg.model.data_preprocessor.size == (64, 64)
    steps = {step.type: step for step in seg.train_dataloader.dataset.pipeline}
    assert (steps['RandomResize'].scale, steps['RandomCrop'].crop_size) == ((256, 64), (64, 64))
    assert steps['CheckSegMap'].num_classes == 2
    cls = make('classification', 2)
    steps = {step.type: step for step in cls.val_dataloader.dataset.pipeline}
    assert (steps['ResizeEdge'].scale, steps['CenterCrop'].crop_size) == (71, 64)
    assert cls.val_evaluator.topk == (1,)
    assert cls.optim_wrapper.type == 'OptimWrapper' and 'ema' not in cls.default_hooks
