"""Loaders in pipelines that check what they load."""

from importlib import import_module

from mmengine.config import Config
from mmengine.registry import TRANSFORMS

from ..config_nodes import type_name, walk
from ..engine import transforms
from ..libraries import find_library
from .data_sets import find_class

LOADER = 'LoadImageFromFile'


def use_checked_loaders(cfg: Config) -> None:
    """Let the data sets of a config name each image that does not fit.

    Its ``LoadImageFromFile`` becomes `LoadCheckedImage`, and its label maps
    are loaded by `LoadCheckedSegMap`. With
    ``skip_broken=True`` in the config, training takes another image instead.

    Args:
        cfg (Config): A whole config; its training pipelines are changed, those of hooks too,
            and where a class of a loader stands as ``type``, its name takes its place.
    """
    scope = cfg.get('default_scope')
    for name in find_library(cfg).checked_loaders:
        # imported lazily: each needs the packages of its library
        module = import_module(f'{transforms.__name__}.{name}')
        stock = module.install(scope)
        for _, step in walk(list(cfg.values())):
            # classes and names with a module pass the registry by
            if type_name(step) == stock.__name__ and find_class(step, scope, TRANSFORMS) is stock:
                step['type'] = stock.__name__
    if cfg.get('skip_broken'):
        # a hook may switch to another pipeline for the last epochs
        for part in (cfg.get('train_dataloader'), cfg.get('custom_hooks')):
            for _, step in walk(part or {}):
                if type_name(step) == LOADER:
                    step['ignore_empty'] = True
