"""Checkpoint files: download them whole, read them safely, convert them.

Importing this package changes nothing. `install` makes mmengine read
checkpoints with `read_checkpoint`; `sparx_mm.engine` calls it. A backbone reads
its ``init_cfg`` with `load_checkpoint` in any case.
"""

from .convert import convert_checkpoint
from .download import DownloadError, fetch
from .reader import checkpoint_kind, read_checkpoint
from .schemes import install, load_checkpoint
from .unpickle import CheckpointError, trust_checkpoints

__all__ = [
    'CheckpointError',
    'DownloadError',
    'checkpoint_kind',
    'convert_checkpoint',
    'fetch',
    'install',
    'load_checkpoint',
    'read_checkpoint',
    'trust_checkpoints',
]
