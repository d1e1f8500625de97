"""Checks of the files of weights that a config names."""

from mmengine.config import Config

from ...backbones.pretrained import CHECKPOINT_INITS, initializer_name
from ...checkpoint_io import CheckpointError, DownloadError, checkpoint_kind, fetch
from ...config_nodes import has_teacher, walk
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
    model = cfg.get('model') or {}
    taught = has_teacher(model)
    for key, node in walk(model, 'model'):
        name = 'checkpoint' if initializer_name(node) in CHECKPOINT_INITS else None
        without = f'train from scratch with {key}=None'
        if taught and key.startswith('model.teacher'):
            # timm's key
            name = 'checkpoint_path' if key == 'model.teacher' else name
            without = 'train without a teacher with model.teacher=None'
        if name and node.get(name):
            check_checkpoint(
                node[name],
                f'{key}.{name}',
                f'give a file with --cfg-options {key}.{name}=FILE, or {without}',
            )


def drop_pretrained(cfg: Config) -> None:
    """Drop the files that the model is initialised from.

    A run that is resumed has all weights from its checkpoint, except a teacher's.

    Args:
        cfg (Config): A whole config; it is changed.
    """
    model = cfg.get('model') or {}
    taught = has_teacher(model)
    for key, node in walk(model):
        if taught and key.split('.')[0] == 'teacher':
            continue
        if node.get('init_cfg') is not None:
            several = isinstance(node['init_cfg'], (list, tuple))
            kept = node['init_cfg'] if several else [node['init_cfg']]
            kept = [one for one in kept if initializer_name(one) not in CHECKPOINT_INITS]
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
