"""Checks of the files of weights that a config names."""

from mmengine.config import Config

from ...backbones.pretrained import CHECKPOINT_INITS
from ...checkpoint_io import CheckpointError, DownloadError, checkpoint_kind, fetch
from ...config_nodes import walk
from ...errors import UserError
from ...model_index import WEIGHTS_PREFIX, weights_url


def check_weights(cfg: Config) -> None:
    """Check the files that the parts of a model are initialised from.

    Files given by URL are downloaded here, where a failure ends in one line.

    Args:
        cfg (Config): A whole config.

    Raises:
        UserError: If a file is missing or cannot be fetched.
    """
    for key, node in walk(cfg.get('model') or {}, 'model'):
        if node.get('type') in CHECKPOINT_INITS and node.get('checkpoint'):
            check_checkpoint(
                node['checkpoint'],
                f'{key}.checkpoint',
                f'give a file with --cfg-options {key}.checkpoint=FILE, or '
                f'train from scratch with {key}=None',
            )


def drop_pretrained(cfg: Config) -> None:
    """Drop the files that the model is initialised from.

    A run that is resumed has all weights from its checkpoint.

    Args:
        cfg (Config): A whole config; it is changed.
    """
    for _, node in walk(cfg.get('model') or {}):
        if node.get('init_cfg') is not None:
            several = isinstance(node['init_cfg'], (list, tuple))
            kept = node['init_cfg'] if several else [node['init_cfg']]
            kept = [one for one in kept if one.get('type') not in CHECKPOINT_INITS]
            node['init_cfg'] = kept or None


def check_checkpoint(path: str, what: str, remedy: str = '') -> None:
    """Check that a checkpoint is a file, or fetch it if it is a URL.

    Args:
        path (str): File, http(s) URL, ``sparx_mm://`` and the name of a model, or a name that
            mmengine resolves (``open-mmlab://...``), which is left to mmengine.
        what (str): Option or key that the path was given as.
        remedy (str): What to do without it. Default: ``''``.

    Raises:
        UserError: If it is missing or cannot be fetched.
    """
    remedy = f'; {remedy}' if remedy else ''
    try:
        if path.startswith(WEIGHTS_PREFIX):
            path = weights_url(path)
        if path.startswith(('http://', 'https://')):
            fetch(path)
        elif '://' not in path:
            checkpoint_kind(path)
    except (CheckpointError, DownloadError) as error:
        raise UserError(f'{what}: {error}{remedy}') from error
