"""The config of a run: a shipped model on the user's data, with what was chosen."""

import colorsys
import inspect
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from ..config_nodes import type_name, walk
from ..run.overrides import READ
from .models import CONFIGS, TASKS
from .request import Facts
from .rules import Choices

# of mmdet's CocoDataset, with which mmdet fails to paint labels beyond them
COCO_COLORS = 80
LOADERS = ('train_dataloader', 'val_dataloader')
# validations in a run, each with a checkpoint
VALIDATIONS = 10
MAX_WARMUP, MAX_LOG_INTERVAL = 500, 50


def make_config(
    cfg: Config, task: str, model: str, facts: Facts, choices: Choices, seed: int
) -> Config:
    """Make the config of a run.

    Args:
        cfg (Config): Shipped config of the model; it is changed.
        task (str): The task.
        model (str): Name of the model.
        facts (Facts): Facts about the data.
        choices (Choices): Settings of the run.
        seed (int): Seed of the training.

    Returns:
        Config: A whole config without a work folder.
    """
    rules = TASKS[task]
    data = Config.fromfile(CONFIGS / rules.library / f'_base_/datasets/{rules.data}.py')
    for key in (*LOADERS, 'val_evaluator'):
        cfg[key] = data[key]
    _fit_classes(cfg, facts)
    if model.startswith('faster_rcnn'):
        _drop_masks(cfg)
    SIZERS[task](cfg, choices.size)
    _use_sets(cfg, facts, choices)
    # of a list of single class weights for another data set
    for _, node in walk(cfg.model):
        node.pop('class_weight', None)
    if task == 'detection':
        cfg.val_evaluator.ann_file = facts.sets['val']['ann_file']
    if task == 'classification':
        _simplify_classifier(cfg, len(facts.classes))
    steps = -(-facts.num_trained // choices.batch_size)
    if cfg.train_dataloader.get('drop_last'):
        steps = facts.num_trained // choices.batch_size
    _schedule(cfg, choices, steps, rules.metric)
    cfg.randomness = dict(seed=seed)
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    known = READ | set(inspect.signature(Runner.__init__).parameters) | {'auto_scale_lr'}
    known -= {'tta_model', 'tta_pipeline', 'data_source'}
    return Config({key: value for key, value in cfg.to_dict().items() if key in known})


def _fit_classes(cfg: Config, facts: Facts) -> None:
    """Give heads, preprocessor and checks of label maps the number of the classes."""
    for root in (cfg.model, *(cfg[key] for key in LOADERS)):
        for _, node in walk(root):
            if 'num_classes' in node:
                node['num_classes'] = len(facts.classes)


def _drop_masks(cfg: Config) -> None:
    """Make a Faster R-CNN of a Mask R-CNN."""
    model = cfg.model
    model.type = 'FasterRCNN'
    model.data_preprocessor.pop('pad_mask', None)
    for name in ('mask_roi_extractor', 'mask_head'):
        model.roi_head.pop(name, None)
    model.train_cfg.rcnn.pop('mask_size', None)
    model.test_cfg.rcnn.pop('mask_thr_binary', None)
    for key in LOADERS:
        for _, step in walk(cfg[key]):
            if 'with_mask' in step:
                step['with_mask'] = False
    cfg.val_evaluator.metric = 'bbox'


def _size_detector(cfg: Config, size: int) -> None:
    # the recipes' limit of the longer side
    scale = (round(size * 1333 / 800), size)
    _set_steps(cfg, Resize=dict(scale=scale))


def _size_segmentor(cfg: Config, size: int) -> None:
    scale, crop = (4 * size, size), (size, size)
    _set_steps(
        cfg,
        Resize=dict(scale=scale),
        RandomResize=dict(scale=scale),
        RandomCrop=dict(crop_size=crop),
    )
    cfg.model.data_preprocessor.size = crop


def _size_classifier(cfg: Config, size: int) -> None:
    # a crop of 0.9, as in the recipe
    _set_steps(
        cfg,
        RandomResizedCrop=dict(scale=size),
        ResizeEdge=dict(scale=int(size / 0.9)),
        CenterCrop=dict(crop_size=size),
    )


SIZERS = dict(
    detection=_size_detector, segmentation=_size_segmentor, classification=_size_classifier
)


def _set_steps(cfg: Config, **changes: dict[str, Any]) -> None:
    """Change the steps of pipelines by the names of their types."""
    for key in LOADERS:
        for _, step in walk(cfg[key]):
            step.update(changes.get(type_name(step), {}))


def _use_sets(cfg: Config, facts: Facts, choices: Choices) -> None:
    metainfo = dict(classes=tuple(facts.classes))
    palette = facts.palette
    if not palette and len(facts.classes) > COCO_COLORS:
        palette = _make_palette(len(facts.classes))
    if palette:
        metainfo['palette'] = [tuple(color) for color in palette]
    for split, key in zip(facts.sets, LOADERS):
        loader = cfg[key]
        old = loader.dataset
        loader.dataset = dict(**facts.sets[split], metainfo=metainfo, pipeline=old.pipeline)
        if 'filter_cfg' in old:
            # small images are trained too
            loader.dataset.filter_cfg = dict(old.filter_cfg, min_size=0)
        if split == 'val':
            loader.dataset.test_mode = True
        loader.num_workers = choices.workers
        loader.persistent_workers = choices.workers > 0
    train = cfg.train_dataloader
    train.batch_size = choices.batch_size
    train.sampler = dict(type='DefaultSampler', shuffle=True)
    if 'batch_sampler' not in train:
        # the rest of an epoch may be one image, too few for a batch norm
        train.drop_last = facts.num_trained >= choices.batch_size
    cfg.val_dataloader.batch_size = min(cfg.val_dataloader.batch_size, choices.batch_size)


def _make_palette(count: int) -> list[tuple[int, int, int]]:
    """Return colors of all hues, in two brightnesses by turns."""
    colors = (colorsys.hsv_to_rgb(i / count, 1, 1 - i % 2 / 2) for i in range(count))
    return [tuple(round(255 * value) for value in color) for color in colors]


def _simplify_classifier(cfg: Config, num_classes: int) -> None:
    """Take out what is for long trainings: mixed images, averages, teachers, float16."""
    cfg.model.pop('train_cfg', None)
    # one of other classes
    cfg.model.pop('teacher', None)
    cfg.model.data_preprocessor.pop('batch_augments', None)
    cfg.default_hooks.pop('ema', None)
    cfg.optim_wrapper.type = 'OptimWrapper'
    cfg.val_evaluator.topk = (1, 5) if num_classes > 5 else (1,)


def _schedule(cfg: Config, choices: Choices, steps: int, metric: str) -> None:
    """Set epochs, rates, validations and checkpoints."""
    epochs, interval = choices.epochs, -(-choices.epochs // VALIDATIONS)
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=interval)
    warmup = max(1, min(MAX_WARMUP, epochs * steps // 10))
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=warmup),
        dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True),
    ]
    cfg.optim_wrapper.optimizer.lr = choices.lr
    cfg.auto_scale_lr = dict(enable=False, base_batch_size=choices.batch_size)
    hooks = cfg.default_hooks
    hooks.logger = dict(type='LoggerHook', interval=min(MAX_LOG_INTERVAL, steps))
    hooks.checkpoint.update(
        interval=interval, by_epoch=True, save_best=metric, max_keep_ckpts=2, save_last=True
    )
    cfg.log_processor.by_epoch = True
