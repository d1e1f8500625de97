"""Load a model to analyse, from a config or by the name of a backbone."""

import re
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from ..backbones import Backbone
from ..errors import UserError, error_text
from ..libraries import find_library
from ..model_index import CONFIG_PREFIX, config_path, suggest
from ..run import load_config
from ..run.preflight import check_packages
from .peers import find_peer


def load_model(
    name: str, cfg_options: dict[str, Any] | None = None
) -> tuple[nn.Module, tuple[int, int]]:
    """Build a model without reading weights.

    Args:
        name (str): Config file, see `load_config`, or name of a backbone: ours such as
            ``'SparXMamba'``, another library's such as ``'mmdet.ResNet'``, or one of
            ``PEERS`` such as ``'Swin-T'``.
        cfg_options (dict, optional): Values by dotted key that override those
            of the config, or arguments of the backbone. Default: None.

    Returns:
        tuple[nn.Module, tuple[int, int]]: The model, and the image size (H, W)
        at which models of its library are usually counted, or (224, 224).

    Raises:
        UserError: If there is no such config or backbone, or if something
            that it names is missing or wrong.
    """
    if name.startswith(CONFIG_PREFIX):
        name = config_path(name)
    peer = find_peer(name)
    is_scoped = re.fullmatch(r'\w+\.\w+', name) and not name.endswith('.py')
    is_backbone = bool(peer or is_scoped or name.isidentifier())
    if is_backbone:
        if name.isidentifier():
            _check_backbone(name)
        # an argument replaces another whole, a dotted key a part of it
        arguments = {k: v for k, v in (cfg_options or {}).items() if '.' not in k}
        cfg = Config(dict(model={**(peer or dict(type=name)), **arguments}))
        parts = {f'model.{k}': v for k, v in (cfg_options or {}).items() if '.' in k}
        cfg.merge_from_dict(parts)
        # by which the packages that it needs are checked
        cfg.default_scope = cfg.model.type.rpartition('.')[0] or None
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
            if scope or is_backbone
            else ('; it has no default_scope: is it a base of another config?')
        )
        raise UserError(
            f'the model of {name} cannot be built: {error_text(error)}{hint}'
        ) from error
    return model, (224, 224) if is_backbone else find_library(cfg).count_shape


def _check_backbone(name):
    names = sorted(
        key
        for key, value in MODELS.module_dict.items()
        if isinstance(value, type) and issubclass(value, Backbone)
    )
    if name not in names:
        raise UserError(
            f"no backbone {name!r}: give one of {names}, another library's such as mmdet.ResNet, "
            f'or the path of a config, which ends in .py{suggest(name)}'
        )
