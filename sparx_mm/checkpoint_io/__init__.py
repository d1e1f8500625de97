"""Checkpoint files: download them whole, read them safely, write them whole, convert them.

Importing this package changes nothing. `install` makes mmengine read checkpoints with
`read_checkpoint` and write them with `save_checkpoint`; `sparx_mm.engine` calls it. A
backbone reads its ``init_cfg`` with `load_checkpoint` in any case.
"""

from .convert import convert_checkpoint
from .download import DownloadError, fetch
from .folder_lock import lock_folder
from .reader import checkpoint_kind, read_checkpoint
from .schemes import install_readers, load_checkpoint
from .unpickle import CheckpointError, trust_checkpoints
from .writer import WriteError, install_writer, save_checkpoint, sweep, write_text

__all__ = [
    'CheckpointError',
    'DownloadError',
    'WriteError',
    'checkpoint_kind',
    'convert_checkpoint',
    'fetch',
    'install',
    'lock_folder',
    'load_checkpoint',
    'read_checkpoint',
    'save_checkpoint',
    'sweep',
    'trust_checkpoints',
    'write_text',
]


def install() -> None:
    """Replace mmengine's readers and writer of checkpoints for this process."""
    install_readers()
    install_writer()
