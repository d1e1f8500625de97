"""Checkpoints to give to others: weights and what they mean, under a name that checks them."""

import os
import os.path as osp

from .download import sha256

# what of a run says nothing about the weights, or names its author's files
_OF_THE_RUN = ('cfg', 'experiment_name', 'hook_msgs', 'seed', 'time')


def strip_training(checkpoint: dict) -> dict:
    """Leave out what only the run that wrote a checkpoint needs.

    Args:
        checkpoint (dict): Content of a checkpoint; it is not changed. Where a run
            averaged its weights, ``state_dict`` has the average.

    Returns:
        dict: Its ``state_dict``, and ``meta`` without the run's own settings.
    """
    kept = {key: checkpoint[key] for key in ('meta', 'state_dict') if key in checkpoint}
    if isinstance(kept.get('meta'), dict):
        kept['meta'] = {k: v for k, v in kept['meta'].items() if k not in _OF_THE_RUN}
    return kept


def add_hash(path: str) -> str:
    """Put the beginning of a file's SHA-256 into its name, which downloads check.

    Args:
        path (str): Path of the file.

    Returns:
        str: Its new path: ``name.pth`` is now ``name-0123abcd.pth``.
    """
    start, kind = osp.splitext(path)
    named = f'{start}-{sha256(path)[:8]}{kind}'
    os.replace(path, named)
    return named
