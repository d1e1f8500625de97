"""Checks of images while they are loaded."""

from mmengine.config import Config

from .config_nodes import walk
from .libraries import find_library

LOADER = 'LoadImageFromFile'


def check_images(cfg: Config) -> None:
    """Let the data sets of a config name each image that does not fit.

    Its ``LoadImageFromFile`` becomes `LoadCheckedImage`, and its label maps
    are loaded by `LoadCheckedSegMap`. With
    ``skip_broken=True`` in the config, training takes another image instead.

    Args:
        cfg (Config): A whole config; its training pipelines are changed.
    """
    packages = find_library(cfg).packages
    if 'mmcv' not in packages:
        return
    # imported lazily: they need mmcv and mmseg, and not every config does
    from ..engine.transforms import load_image

    load_image.install(cfg.get('default_scope'))
    if 'mmseg' in packages:
        from ..engine.transforms import load_seg_map

        load_seg_map.install()
    if cfg.get('skip_broken'):
        for _, step in walk(cfg.get('train_dataloader') or {}):
            if str(step.get('type')).rpartition('.')[2] == LOADER:
                step['ignore_empty'] = True
