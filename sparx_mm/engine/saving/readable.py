"""What a run saves, in types that `read_checkpoint` allows."""

import logging
from typing import Any

from mmengine.logging import HistoryBuffer

from ...checkpoint_io import CheckpointError, read_checkpoint


def make_readable(checkpoint: dict[str, Any]) -> None:
    """Replace what mmengine's Runner saves besides data.

    Configs in ``meta`` and ``message_hub`` become dicts. Functions leave the states of
    schedulers and of logged values: each has its own when it is resumed.

    Args:
        checkpoint (dict): Checkpoint to be saved; it is changed.
    """
    for key in {'meta', 'message_hub'} & checkpoint.keys():
        checkpoint[key] = _plain(checkpoint[key])
    schedulers = checkpoint.get('param_schedulers') or []
    # of several optimizers, lists by name
    several = schedulers.values() if isinstance(schedulers, dict) else [schedulers]
    for states in several:
        states[:] = [{k: v for k, v in state.items() if not callable(v)} for state in states]


def warn_if_unreadable(path: str, logger: logging.Logger) -> None:
    """Warn at a run's first checkpoint, and not when it is needed, that none can be read.

    Args:
        path (str): The checkpoint.
        logger (logging.Logger): Logger of the run.
    """
    try:
        read_checkpoint(path, map_location='meta')
    except CheckpointError as error:
        logger.warning(
            f'no checkpoint of this run can be resumed or tested as it is: {error}. Keep numbers, '
            'text, arrays, lists and dicts alone in metainfo and in what hooks save'
        )


def _plain(value):
    if isinstance(value, HistoryBuffer):
        return _Buffer(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return (list if isinstance(value, list) else tuple)(map(_plain, value))
    return value


class _Buffer:
    """Pickles as a HistoryBuffer, without the functions of its class."""

    def __init__(self, buffer):
        self._state = {k: v for k, v in vars(buffer).items() if k != 'statistics_methods'}

    def __reduce__(self):
        return HistoryBuffer, (), self._state
