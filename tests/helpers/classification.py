"""Classifiers that are small enough for a test, and a small ImageNet."""

from collections import Counter
from itertools import count

import cv2
import numpy as np
from archs import map_channels, pico_for
from detection import ROOT
from mmengine.config import Config

from sparx_mm.config_nodes import walk
from sparx_mm.demo import CLASSES, draw_sample
from sparx_mm.run import load_config

CONFIGS = sorted((ROOT / 'configs/mmpretrain').glob('*.py'))
# for tests that any would do
CONFIG = ROOT / 'configs/mmpretrain/sparx_t_in1k.py'


def make_imagenet(root, num_train=2, num_val=1, size=48) -> None:
    """Draw a set with a folder for each class: the shape drawn first.

    Args:
        root (Path): Its folder.
        num_train (int): Training images of each class. Default: 2.
        num_val (int): Validation images of each class. Default: 1.
        size (int): Width in pixels; heights are up to 8 less. Default: 48.
    """
    for split, number in (('train', num_train), ('val', num_val)):
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
        drawn = Counter()
        for i in count():
            image, labels, _ = draw_sample(np.random.default_rng((i, number)), size, 2)
            name = CLASSES[labels[0]]
            if drawn[name] < number:
                drawn[name] += 1
                path = root / split / name / f'{split}_{i}.JPEG'
                cv2.imwrite(str(path), image[: size - 4 * (i % 3)])
            if sum(drawn.values()) == number * len(CLASSES):
                break


def tiny_options(path, root, **options) -> dict:
    """What makes a config run in seconds on a drawn set.

    Args:
        path (Path): The config.
        root (Path): The set.
        **options: More of them, ``__`` for a dot.

    Returns:
        dict: For ``cfg_options``.
    """
    arch = pico_for(path)
    tiny = {
        'model.backbone.arch': dict(arch),
        'model.data_preprocessor.num_classes': len(CLASSES),
        'model.head.num_classes': len(CLASSES),
        'model.head.in_channels': map_channels(arch)[-1],
        # float16 needs a GPU
        'optim_wrapper.type': 'OptimWrapper',
        'train_dataloader.batch_size': 4,
        'val_dataloader.batch_size': 4,
        'test_dataloader.batch_size': 4,
    }
    if 'groupmamba' in path.stem:
        # which knows other classes
        tiny['model.teacher'] = None
    if not {'swin', 'plainmamba'} & set(path.stem.split('_')):
        tiny['model.neck.in_channels'] = map_channels(arch)[-1]
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        tiny.update(
            {
                f'{loader}.num_workers': 0,
                f'{loader}.persistent_workers': False,
                f'{loader}.dataset.data_root': str(root),
                f'{loader}.dataset.metainfo': dict(classes=sorted(CLASSES)),
            }
        )
    more = {key.replace('__', '.'): value for key, value in options.items()}
    return {**tiny, **more}


def tiny_config(path, root, work_dir=None, **options) -> Config:
    """Load a config with `tiny_options` and images of 32 px."""
    cfg = load_config(str(path), tiny_options(path, root, **options), work_dir)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for _, step in walk(cfg[loader]):
            for key in ('scale', 'crop_size'):
                if key in step:
                    # crops of 224 px become 32
                    step[key] //= 7
    return cfg
