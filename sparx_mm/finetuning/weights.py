"""Weights that a run starts from: a whole model's, or those of a backbone alone."""

import os.path as osp
from collections.abc import Mapping

from mmengine.config import Config

from ..backbones.pretrained import CHECKPOINT_INITS, initializer_name
from ..checkpoint_io import load_checkpoint
from ..errors import UserError
from ..run.preflight.weights import check_checkpoint
from ..state_dicts import FAMILIES, SWIN, KeyMap, find_families, find_weights, nest_model

NONE = 'none'
# ``init_cfg`` of variance 1 over the number of inputs, with which these backbones learn more
# in a short training than with their papers' weights; see docs/results/learning.md
FAN_IN = dict(
    type='Kaiming',
    layer=['Conv2d', 'Linear'],
    mode='fan_in',
    nonlinearity='linear',
    distribution='normal',
)
_FAN_IN_BACKBONES = ('SparXMamba', 'SparXSwin', 'VMamba')
# the last layer of mmpretrain's classifiers
_CLASSES = 'head.fc.'


def use_weights(cfg: Config, weights: str | None, task: str) -> str:
    """Change a config to start from weights.

    Args:
        cfg (Config): A shipped config; it is changed. Its ``init_cfg`` names the weights
            that were released for its backbone.
        weights (str, optional): File or URL; ``'none'`` for random weights. None: those
            that were released.
        task (str): The task.

    Returns:
        str: What the model starts from, for the user.

    Raises:
        UserError: If the file is missing or holds no backbone of ours.
    """
    backbone = cfg.model.backbone
    if initializer_name(backbone.get('init_cfg') or {}) in CHECKPOINT_INITS:
        backbone.init_cfg = None
    cfg.load_from = None
    if weights is None and cfg.get('init_cfg'):
        weights = cfg.init_cfg.checkpoint
    if weights in (None, NONE):
        if backbone.type.rpartition('.')[2] in _FAN_IN_BACKBONES:
            backbone.init_cfg = dict(FAN_IN)
        reason = '' if weights else ', because none were released for this backbone'
        return f'random weights{reason}'
    check_checkpoint(weights, '--weights', 'give a file, or --weights none for random weights')
    if '://' not in weights:
        # the config may be used from another folder
        weights = osp.abspath(weights)
    tensors = find_weights(load_checkpoint(weights, 'cpu'))
    families = find_families(tensors)
    whole = 'backbone.' in families and families['backbone.'] is not SWIN
    if task == 'classification':
        whole = whole or _is_classifier(tensors, families)
    else:
        whole = whole and not any(name.startswith(_CLASSES) for name in tensors)
    if whole:
        cfg.load_from = weights
        return f'{weights} (what fits of the whole model; the log names what stays new)'
    if not families:
        raise UserError(
            f'--weights {weights} holds no backbone of SparX, VMamba, VSSD, GroupMamba, PlainMamba, '
            "Vim or Swin: give a released file, one of a run, or 'none'"
        )
    prefix, family = next(iter(families.items()))
    kind = 'PretrainedSwin' if family is SWIN else 'Pretrained'
    backbone.init_cfg = dict(type=kind, checkpoint=weights)
    if prefix:
        backbone.init_cfg['prefix'] = prefix
    return f'{weights} (the backbone; all heads are new)'


def _is_classifier(tensors: Mapping, families: Mapping[str, KeyMap | None]) -> bool:
    """Return True for a released classifier with its head."""
    family = families.get('')
    names = nest_model(tensors, family) if family in FAMILIES else ()
    return any(name.startswith(_CLASSES) for name in names)
