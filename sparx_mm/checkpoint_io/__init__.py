"""Checkpoint files: download them whole, read them safely, convert them.

Importing this package changes nothing. `install` makes mmengine read
checkpoints with `read_checkpoint`; `sparx_mm.engine` calls it.
"""

from .convert import convert_checkpoint
from .download import DownloadError, fetch
from .reader import checkpoint_kind, read_checkpoint
from .schemes import install
from .unpickle import CheckpointError, trust_checkpoints

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
