"""Segmentors that are small enough for a test, and a small ADE20K."""

import cv2
import numpy as np
from archs import map_channels, pico_for
from detection import ROOT
from mmengine.config import Config

from sparx_mm.config_nodes import walk
from sparx_mm.demo import draw_sample
from sparx_mm.run import load_config

CONFIGS = sorted((ROOT / 'configs/mmseg').glob('*.py'))
# for tests that any would do
CONFIG = ROOT / 'configs/mmseg/upernet_sparx_t.py'
# ids in the files of what is drawn; 0 has no class, 150 is the last one
IDS = (1, 2, 13, 44, 88, 150)


def make_ade(root, num_train=4, num_val=3, size=64) -> None:
    """Draw a set in ADE20K's layout, its images of different sizes.

    Args:
        root (Path): Its folder.
        num_train (int): Training images. Default: 4.
        num_val (int): Validation images. Default: 3.
        size (int): Width in pixels; heights are up to 8 less. Default: 64.
    """
    for split, number in (('training', num_train), ('validation', num_val)):
        for folder in ('images', 'annotations'):
            (root / folder / split).mkdir(parents=True)
        for i in range(number):
            image, labels, masks = draw_sample(np.random.default_rng((i, number)), size)
            ids = np.zeros((size, size), np.uint8)
            for label, mask in zip(labels, masks):
                ids[mask] = IDS[label]
            # the corner has no class
            ids[:4, :4] = 0
            name, height = f'ADE_{split}_{i:08d}', size - 4 * (i % 3)
            cv2.imwrite(str(root / 'images' / split / f'{name}.jpg'), image[:height])
            cv2.imwrite(str(root / 'annotations' / split / f'{name}.png'), ids[:height])


def tiny_options(path, root, **options) -> dict:
    """What makes a config run in seconds on a drawn set.

    Args:
        path (Path): The config.
        root (Path): The set, in the layout that the config expects.
        **options: More of them, ``__`` for a dot.

    Returns:
        dict: For ``cfg_options``.
    """
    arch = pico_for(path)
    dims = map_channels(arch)
    tiny = {
        'model.backbone.arch': dict(arch),
        'model.backbone.init_cfg': None,
        'model.decode_head.channels': 16,
        'model.data_preprocessor.size': (32, 32),
        'train_dataloader.batch_size': 2,
    }
    if 'unet' in path.stem:
        del tiny['model.decode_head.channels']
        # of its maps CVMH-UNet reads one more
        maps = [*dims[1 - ('cvmh' in path.stem) :], dims[-1]]
        head = dict(arch=dict(arch), in_channels=maps, init_cfg=None)
        tiny.update({f'model.decode_head.{key}': value for key, value in head.items()})
    elif 'semantic_fpn' in path.stem:
        tiny['model.neck.in_channels'] = dims
    else:
        tiny['model.decode_head.in_channels'] = dims
        tiny['model.auxiliary_head.in_channels'] = dims[3 if 'plainmamba' in path.stem else 2]
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        tiny.update(
            {
                f'{loader}.num_workers': 0,
                f'{loader}.persistent_workers': False,
                f'{loader}.dataset.data_root': f'{root}/',
            }
        )
    more = {key.replace('__', '.'): value for key, value in options.items()}
    return {**tiny, **more}


def tiny_config(path, root, work_dir=None, **options) -> Config:
    """Load a config with `tiny_options`, its images 64 px wide or so."""
    cfg = load_config(str(path), tiny_options(path, root, **options), work_dir)
    parts = [cfg[f'{loop}_dataloader'] for loop in ('train', 'val', 'test')]
    for part in (*parts, cfg.get('tta_pipeline') or []):
        for _, step in walk(part):
            if 'scale' in step:
                # short sides of 512 become 64
                step['scale'] = tuple(max(s // 8, 32) for s in step['scale'])
            if 'crop_size' in step:
                step['crop_size'] = (32, 32)
    return cfg
