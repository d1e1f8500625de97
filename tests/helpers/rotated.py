"""Rotated detectors that are small enough for a test, and a small DOTA."""

import numpy as np
from archs import PICO
from detection import ROOT
from mmengine.config import Config
from PIL import Image, ImageDraw

from sparx_mm.config_nodes import walk
from sparx_mm.run import load_config

CONFIGS = sorted((ROOT / 'configs/mmrotate').glob('*.py'))
# for tests that any would do
CONFIG = ROOT / 'configs/mmrotate/oriented_rcnn_sparx_t_1x.py'
# two of DOTA's classes, with the colour that each is drawn in
COLOURS = {'plane': (220, 60, 60), 'ship': (60, 90, 220)}


def make_dota(root, num_images=4, size=64) -> None:
    """Draw patches with rotated boxes, in the layout of a split DOTA.

    Args:
        root (Path): Its folder.
        num_images (int): Patches. Default: 4.
        size (int): Height and width in pixels. Default: 64.
    """
    images, labels = root / 'trainval/images', root / 'trainval/annfiles'
    for folder in (images, labels):
        folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(num_images):
        image = Image.new('RGB', (size, size), (120, 130, 110))
        lines = []
        # one box in each half of the patch
        for half, (name, colour) in enumerate(COLOURS.items()):
            centre = np.array([size / 4 + half * size / 2, random.uniform(0.4, 0.6) * size])
            corners = centre + _corners(size * 0.4, size * 0.2, random.uniform(0, np.pi))
            ImageDraw.Draw(image).polygon([tuple(c) for c in corners], fill=colour)
            lines.append(f'{" ".join(f"{x:.1f}" for x in corners.ravel())} {name} 0\n')
        image.save(images / f'P{i:04d}.png')
        (labels / f'P{i:04d}.txt').write_text(''.join(lines))


def _corners(length, width, angle):
    """Return the four corners (4, 2) of a box around the origin, in order."""
    along = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    across = np.array([-np.sin(angle), np.cos(angle)]) * width / 2
    return np.array([along + across, along - across, -along - across, across - along])


def tiny_config(path, root, work_dir=None, **options) -> Config:
    """Load a config so that it runs in seconds on a drawn set.

    Args:
        path (Path): The config.
        root (Path): The set.
        work_dir (str, optional): The folder of the run. Default: None.
        **options: More ``cfg_options``, ``__`` for a dot.
    """
    tiny = {
        'model.backbone.arch': dict(_delete_=True, **PICO),
        'model.backbone.init_cfg': None,
        'model.neck.in_channels': list(PICO['embed_dims']),
        'model.roi_head.bbox_head.num_classes': len(COLOURS),
        'model.roi_head.bbox_head.fc_out_channels': 64,
        'model.train_cfg.rcnn.sampler.num': 32,
        'model.train_cfg.rpn_proposal.max_per_img': 50,
        'model.test_cfg.rpn.max_per_img': 20,
    }
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        tiny.update(
            {
                f'{loader}.num_workers': 0,
                f'{loader}.persistent_workers': False,
                f'{loader}.dataset.data_root': f'{root}/',
                f'{loader}.dataset.metainfo': dict(classes=tuple(COLOURS)),
            }
        )
    tiny.update({key.replace('__', '.'): value for key, value in options.items()})
    cfg = load_config(str(path), tiny, work_dir)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for _, step in walk(cfg[loader]):
            if 'scale' in step:
                step['scale'] = (64, 64)
    return cfg
