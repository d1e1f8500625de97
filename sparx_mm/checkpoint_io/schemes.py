"""Readers for the places that mmengine's ``CheckpointLoader`` reads from."""

import re
from collections.abc import Callable
from typing import Any

from mmengine.fileio import get_local_path

from ..model_index import WEIGHTS_PREFIX, weights_url
from ..state_dicts import strip_prefix
from .download import fetch
from .reader import read_checkpoint
from .unpickle import CheckpointError

# function of mmengine.runner.checkpoint that lists a zoo's models: name and URL
ZOOS = {
    'open-mmlab': 'get_external_models',
    'openmmlab': 'get_external_models',
    'mmcls': 'get_mmcls_models',
    'torchvision': 'get_torchvision_models',
    'modelzoo': 'get_torchvision_models',
}


def load_from_local(filename: str, map_location: Any = None) -> dict:
    """Read a file with `read_checkpoint`.

    Args:
        filename (str): Path of the file.
        map_location (optional): Passed to ``torch.load``. Default: None.
    """
    return read_checkpoint(filename, map_location)


def load_from_http(filename: str, map_location: Any = None) -> dict:
    """Fetch a URL into torch's cache and read it.

    Args:
        filename (str): An https URL.
        map_location (optional): Passed to ``torch.load``. Default: None.
    """
    return read_checkpoint(fetch(filename), map_location)


def load_from_remote(filename: str, map_location: Any = None) -> dict:
    """Copy a file from S3 or Petrel with mmengine's storage backend and read it.

    Args:
        filename (str): ``s3://...`` or ``petrel://...``.
        map_location (optional): Passed to ``torch.load``. Default: None.
    """
    with get_local_path(filename, backend_args=dict(backend='petrel')) as path:
        return read_checkpoint(path, map_location)


def load_from_zoo(filename: str, map_location: Any = None) -> dict:
    """Look a name up in mmengine's lists of models, fetch the file and read it.

    Args:
        filename (str): ``open-mmlab://NAME``, ``mmcls://NAME`` or
            ``torchvision://NAME``.
        map_location (optional): Passed to ``torch.load``. Default: None.

    Raises:
        CheckpointError: If the name is not in the list.
    """
    # imported lazily: mmengine.runner pulls in OpenCV
    from mmengine.runner import checkpoint as zoos

    zoo, name = filename.split('://', 1)
    table = getattr(zoos, ZOOS[zoo])()
    name = zoos.get_deprecated_model_names().get(name, name)
    if name not in table:
        raise CheckpointError(f'{filename}: {zoo} has no model {name!r}')
    checkpoint = load_from_http(table[name], map_location)
    if zoo == 'mmcls':
        # because the file is a classifier's, and a backbone is wanted
        checkpoint = dict(state_dict=strip_prefix(checkpoint['state_dict'], 'backbone.'))
    return checkpoint


def load_released(filename: str, map_location: Any = None) -> dict:
    """Fetch the weights that a model's authors have released, and read them.

    Args:
        filename (str): ``sparx_mm://`` and the name of a model, see `weights_url`.
        map_location (optional): Passed to ``torch.load``. Default: None.
    """
    return load_from_http(weights_url(filename), map_location)


def load_from_pavi(filename: str, map_location: Any = None) -> dict:
    """Refuse, because Pavi's client reads pickles by itself.

    Args:
        filename (str): ``pavi://...``.
        map_location (optional): Ignored. Default: None.

    Raises:
        CheckpointError: Always.
    """
    raise CheckpointError(f'{filename}: download it and give the file')


# patterns of the places, as mmengine tells them apart
SCHEMES = (
    (('http://', 'https://'), load_from_http),
    ((r'(\S+\:)?s3://', r'(\S+\:)?petrel://'), load_from_remote),
    (tuple(f'{zoo}://' for zoo in ZOOS), load_from_zoo),
    ((WEIGHTS_PREFIX,), load_released),
    (('pavi://',), load_from_pavi),
)


def load_checkpoint(source: str, map_location: Any = None) -> dict:
    """Read a checkpoint from wherever mmengine reads it, and run no code from it.

    Args:
        source (str): File, URL, or a name that mmengine resolves. What someone else
            has registered with ``CheckpointLoader`` is read by their reader.
        map_location (optional): Passed to ``torch.load``. Default: None.

    Returns:
        dict: See `read_checkpoint`.

    Raises:
        CheckpointError: If it cannot be read.
    """
    return find_loader(source)(source, map_location)


def find_loader(source: str) -> Callable[..., dict]:
    """Find the reader of a place.

    Args:
        source (str): File, URL, or a name that mmengine resolves.

    Returns:
        Callable: One of the readers above, or mmengine's ``CheckpointLoader`` for a
        place that none of them knows.
    """
    for patterns, loader in SCHEMES:
        if any(re.match(pattern, source) for pattern in patterns):
            return loader
    if '://' not in source:
        return load_from_local
    # imported lazily: mmengine.runner pulls in OpenCV
    from mmengine.runner import CheckpointLoader

    return CheckpointLoader.load_checkpoint


def install_readers() -> None:
    """Replace all readers of mmengine's ``CheckpointLoader``.

    From then on, reading a checkpoint through mmengine runs no code from the
    file.
    """
    # imported lazily: mmengine.runner pulls in OpenCV
    from mmengine.runner import CheckpointLoader

    for patterns, loader in (('', load_from_local), *SCHEMES):
        CheckpointLoader.register_scheme(patterns, loader, force=True)
