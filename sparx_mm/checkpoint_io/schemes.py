"""Readers for the places that mmengine's ``CheckpointLoader`` reads from."""

from typing import Any

from mmengine.fileio import get_local_path

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


def load_from_pavi(filename: str, map_location: Any = None) -> dict:
    """Refuse, because Pavi's client reads pickles by itself.

    Args:
        filename (str): ``pavi://...``.
        map_location (optional): Ignored. Default: None.

    Raises:
        CheckpointError: Always.
    """
    raise CheckpointError(f'{filename}: download it and give the file')


def install_readers() -> None:
    """Replace all readers of mmengine's ``CheckpointLoader``.

    From then on, reading a checkpoint through mmengine runs no code from the
    file.
    """
    # imported lazily: mmengine.runner pulls in OpenCV
    from mmengine.runner import CheckpointLoader

    for prefixes, loader in (
        ('', load_from_local),
        (('http://', 'https://'), load_from_http),
        ((r'(\S+\:)?s3://', r'(\S+\:)?petrel://'), load_from_remote),
        ([f'{zoo}://' for zoo in ZOOS], load_from_zoo),
        ('pavi://', load_from_pavi),
    ):
        CheckpointLoader.register_scheme(prefixes, loader, force=True)
