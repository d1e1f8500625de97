"""Trackers that a run writes its curves to, beside its JSON log (``tools/train.py --track``)."""

import os.path as osp
from collections.abc import Sequence
from importlib.util import find_spec

from mmengine.config import Config

from ..config_nodes import type_name
from ..errors import UserError

# backend of mmengine's visualizer by tracker, which is the name of its package
TRACKERS = dict(tensorboard='TensorboardVisBackend', wandb='WandbCurves')


def add_trackers(cfg: Config, trackers: Sequence[str]) -> None:
    """Let a run write its curves to trackers too.

    Args:
        cfg (Config): A whole config; ``visualizer.vis_backends`` is completed.
        trackers (Sequence[str]): Any of `TRACKERS`. A tracker that the config has
            already, with options of its own, stays as it is.

    Raises:
        UserError: If the package of a tracker is missing.
    """
    missing = [name for name in trackers if find_spec(name) is None]
    if missing:
        raise UserError(
            f'--track {missing[0]}: the package {missing[0]} is not installed: pip install '
            f"{missing[0]}, or pip install -e '.[track]' in the clone"
        )
    visualizer = cfg.get('visualizer') or dict(type='Visualizer')
    backends = list(visualizer.get('vis_backends') or [dict(type='LocalVisBackend')])
    types = {type_name(backend) for backend in backends}
    for name in dict.fromkeys(trackers):
        # mmengine's own for W&B has the package's name too
        if not types & {TRACKERS[name], f'{name.capitalize()}VisBackend'}:
            backends.append(dict(type=TRACKERS[name]))
            if name == 'wandb':
                run = osp.basename(osp.abspath(cfg.work_dir))
                backends[-1]['init_kwargs'] = dict(name=run)
    visualizer['vis_backends'] = backends
    cfg.visualizer = visualizer
