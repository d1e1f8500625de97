"""Checkpoint files: fetched whole, read safely, converted.

Importing it replaces the readers of mmengine's ``CheckpointLoader``: whatever
reads a checkpoint through mmengine then runs nothing that is in the file.
"""

from .convert import convert_checkpoint
from .download import DownloadError, fetch
from .reader import CheckpointError, checkpoint_kind, read_checkpoint, trust_checkpoints

__all__ = [
    'CheckpointError',
    'DownloadError',
    'checkpoint_kind',
    'convert_checkpoint',
    'fetch',
    'read_checkpoint',
    'trust_checkpoints',
]
