"""Load a model to analyse, from a config or by the name of a backbone."""

from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from ..backbones import HierarchicalBackbone
from ..errors import UserError, error_text
from ..libraries import find_library
from ..run import load_config
from ..run.preflight import check_packages


def load_model(
    name: str, cfg_options: dict[str, Any] | None = None
) -> tuple[nn.Module, tuple[int, int]]:
    """Build a model without reading weights.

    Args:
        name (str): Path of a config file, or name of a backbone such as
            ``'SparXMamba'``.
        cfg_options (dict, optional): Values by dotted key that override those
            of the config, or arguments of the backbone. Default: None.

    Returns:
        tuple[nn.Module, tuple[int, int]]: The model, and the image size (H, W)
        at which models of its library are usually counted, or (224, 224).

    Raises:
        UserError: If there is no such config or backbone, or if something
            that it names is missing or wrong.
    """
    if name.isidentifier():
        cfg = Config(dict(model=dict(type=name)))
        _check_backbone(name)
        options = {f'model.{k}': v for k, v in (cfg_options or {}).items()}
        cfg.merge_from_dict(options)
    else:
        cfg = load_config(name, cfg_options)
    if not cfg.get('model'):
        raise UserError(f'the config {name} has no model')
    check_packages(cfg)
    scope = cfg.get('default_scope')
    try:
        # mmengine's own scope, because one of an earlier model may be left
        with DefaultScope.overwrite_default_scope(scope or 'mmengine'):
            model = MODELS.build(cfg.model)
    except Exception as error:
        # any model may be named, and each checks its arguments its own way
        hint = (
            ''
            if scope or name.isidentifier()
            else ('; it has no default_scope: is it a base of another config?')
        )
        raise UserError(
            f'the model of {name} cannot be built: {error_text(error)}{hint}'
        ) from error
    return model, find_library(cfg).count_shape


def _check_backbone(name):
    names = sorted(
        key
        for key, value in MODELS.module_dict.items()
        if isinstance(value, type) and issubclass(value, HierarchicalBackbone)
    )
    if name not in names:
        raise UserError(
            f'no backbone {name!r}: give one of {names}, or the path of a config, which ends in .py'
        )
