"""Detectors that are small enough for a test."""

from pathlib import Path

from archs import PICO, PICO_PLAINMAMBA, pico_for
from mmengine.config import Config

from sparx_mm.config_nodes import walk
from sparx_mm.demo import CLASSES
from sparx_mm.run import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / 'configs/mmdet').glob('*.py'))
# for tests that any would do
CONFIG = ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py'


def tiny_options(shapes, **options) -> dict:
    """What makes a config run in seconds on a drawn set.

    Args:
        shapes (Path): The set.
        **options: More of them, ``__`` for a dot.

    Returns:
        dict: For ``cfg_options``.
    """
    annotations = {
        split: shapes / f'annotations/instances_{split}.json' for split in ('train', 'val')
    }
    tiny = {
        'val_evaluator.ann_file': str(annotations['val']),
        'test_evaluator.ann_file': str(annotations['val']),
        'model.backbone.arch': dict(PICO),
        'model.backbone.init_cfg': None,
        'model.neck.in_channels': list(PICO['embed_dims']),
        'model.roi_head.bbox_head.num_classes': len(CLASSES),
        'model.roi_head.mask_head.num_classes': len(CLASSES),
        'train_dataloader.batch_size': 2,
        # because the full heads take longer than all else, as do masks of 512
        # regions an image and checkpoints of 200 MB
        'model.neck.out_channels': 32,
        'model.rpn_head.in_channels': 32,
        'model.rpn_head.feat_channels': 32,
        'model.roi_head.bbox_roi_extractor.out_channels': 32,
        'model.roi_head.bbox_head.in_channels': 32,
        'model.roi_head.bbox_head.fc_out_channels': 64,
        'model.roi_head.mask_roi_extractor.out_channels': 32,
        'model.roi_head.mask_head.in_channels': 32,
        'model.roi_head.mask_head.conv_out_channels': 32,
        'model.train_cfg.rcnn.sampler.num': 32,
        'model.test_cfg.rcnn.max_per_img': 20,
    }
    for loader, split in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        loader = f'{loader}_dataloader'
        tiny.update(
            {
                f'{loader}.num_workers': 0,
                f'{loader}.persistent_workers': False,
                f'{loader}.dataset.ann_file': str(annotations[split]),
                f'{loader}.dataset.data_prefix.img': str(shapes / split),
                f'{loader}.dataset.metainfo': dict(classes=CLASSES),
            }
        )
    more = {key.replace('__', '.'): value for key, value in options.items()}
    return {**tiny, **more}


def plain_options(tiny, stem) -> dict:
    """Change `tiny_options` for a detector on one width, of two stages or of one.

    Args:
        tiny (dict): The options.
        stem (str): Name of the config.

    Returns:
        dict: For ``cfg_options``.
    """
    dim = PICO_PLAINMAMBA['embed_dims']
    if 'sfp' in stem:
        del tiny['model.neck.in_channels']
        return {**tiny, 'model.neck.backbone_channel': dim}
    if 'retinanet' not in stem:
        channels = 'model.roi_head.bbox_head.conv_out_channels'
        return {**tiny, 'model.neck.in_channels': [dim] * 4, channels: 32}
    others = ('model.rpn_head', 'model.roi_head', 'model.train_cfg', 'model.test_cfg')
    return {
        **{key: value for key, value in tiny.items() if not key.startswith(others)},
        'model.neck.in_channels': [dim] * 3,
        'model.bbox_head.in_channels': 32,
        'model.bbox_head.feat_channels': 32,
        'model.bbox_head.num_classes': len(CLASSES),
        'model.test_cfg.max_per_img': 20,
    }


def tiny_config(path, shapes, work_dir=None, **options) -> Config:
    """Load a config with `tiny_options` and images of 64 px."""
    options.setdefault('model__backbone__arch', dict(pico_for(path)))
    tiny = tiny_options(shapes, **options)
    if 'plainmamba' in Path(path).stem:
        tiny = plain_options(tiny, Path(path).stem)
    cfg = load_config(str(path), tiny, work_dir)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for _, step in walk(cfg[loader]):
            if 'scale' in step:
                step['scale'] = (64, 64)
            if 'scales' in step:
                step['scales'] = [(48, 96), (64, 96)]
            if 'crop_size' in step:
                step['crop_size'] = (32, 40)
    return cfg
