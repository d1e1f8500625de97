"""Checkpoint files: fetched whole, read safely, converted.

`install` makes mmengine read with `read_checkpoint`.
"""

from .convert import convert_checkpoint
from .download import DownloadError, fetch
from .reader import CheckpointError, checkpoint_kind, install, read_checkpoint, trust_checkpoints

__all__ = [
    'CheckpointError',
    'DownloadError',
    'checkpoint_kind',
    'convert_checkpoint',
    'fetch',
    'install',
    'read_checkpoint',
    'trust_checkpoints',
]
