"""Checks of label maps in pipelines that load none."""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config

from ...config_nodes import type_name, walk
from ...errors import UserError

CHECK = 'CheckSegMap'


def settle_label_checks(cfg: Config, splits: Sequence[str]) -> None:
    """Take `CheckSegMap` out of evaluation pipelines that load no label map.

    A test set without labels that is based on a labelled one inherits the step,
    and often a folder of label maps that is not there.

    Args:
        cfg (Config): A whole config; it is changed.
        splits (Sequence[str]): Any of ``'train'``, ``'val'`` and ``'test'``.

    Raises:
        UserError: If it is a pipeline of the training set.
    """
    for split in splits:
        loader = f'{split}_dataloader'
        for key, node in list(walk(cfg.get(loader) or {}, loader)):
            types = [type_name(step) for _, step in walk(node.get('pipeline') or [])]
            if CHECK not in types or any('Annotation' in name for name in types):
                continue
            if split == 'train':
                raise UserError(
                    f'{key}.pipeline checks label maps ({CHECK}) and loads none: '
                    "put dict(type='LoadAnnotations') before it"
                )
            node['pipeline'] = _without_checks(node['pipeline'])


def _without_checks(steps: Any) -> Any:
    if isinstance(steps, dict):
        return {key: _without_checks(value) for key, value in steps.items()}
    if not isinstance(steps, (list, tuple)):
        return steps
    # a scale is a tuple, and has to stay one
    return type(steps)(_without_checks(step) for step in steps if not _is_check(step))


def _is_check(step: Any) -> bool:
    # TestTimeAug takes a list of the alternatives of each step
    if isinstance(step, (list, tuple)):
        return bool(step) and all(map(_is_check, step))
    return isinstance(step, dict) and type_name(step) == CHECK
