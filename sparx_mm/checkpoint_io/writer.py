"""Files that are written whole or not at all.

A file gets its name only once its content is on the disk. A kill, a full disk or a
power failure leaves the file that had the name before, or none.
"""

import os
import os.path as osp
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import torch

from ..errors import UserError

# name of a file that is being written, or was when its process died
_PARTIAL = re.compile(r'\..+\.[0-9a-f]{8}\.partial')


class WriteError(UserError):
    """A file that cannot be written; the message names it and says why."""


@contextmanager
def write_whole(path: str) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path`` when the block ends.

    Args:
        path (str): Path of the file; its folder exists.

    Yields:
        BinaryIO: The open file, hidden beside ``path`` until then, and removed if the
        block raises.

    Raises:
        WriteError: If the file system refuses it: no space, no permission.

    Example:
        >>> with write_whole('/tmp/greeting') as file:
        ...     _ = file.write(b'hello')
    """
    folder, name = osp.split(osp.abspath(path))
    partial = osp.join(folder, f'.{name}.{secrets.token_hex(4)}.partial')
    try:
        with open(partial, 'xb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(folder)
    except BaseException as error:
        with suppress(OSError):
            os.remove(partial)
        reason = _refusal(error)
        if reason is None:
            raise
        raise WriteError(f'{osp.abspath(path)} cannot be written ({reason})') from error


def write_text(path: str, text: str) -> None:
    """Write a text file whole or not at all.

    Args:
        path (str): Path of the file.
        text (str): Its content.

    Raises:
        WriteError: If it cannot be written.
    """
    with write_whole(path) as file:
        file.write(text.encode())


def save_checkpoint(checkpoint: Any, path: str) -> None:
    """Write a checkpoint whole or not at all, without a copy of it in memory.

    Args:
        checkpoint (Any): Content of the file.
        path (str): Path of the file; its folder is made if it is missing.

    Raises:
        WriteError: If it cannot be written.
    """
    try:
        os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    except OSError as error:
        raise WriteError(f'{osp.abspath(path)} cannot be written ({error.strerror})') from error
    with write_whole(path) as file:
        torch.save(checkpoint, file)


def sweep(folder: str) -> list[str]:
    """Remove what processes that died had begun to write.

    Args:
        folder (str): Folder that no other process writes to.

    Returns:
        list[str]: Names of the removed files.
    """
    stale = [
        entry for entry in os.scandir(folder) if _PARTIAL.fullmatch(entry.name) and entry.is_file()
    ]
    for entry in stale:
        os.remove(entry)
    return [entry.name for entry in stale]


def install_writer() -> None:
    """Make mmengine write its checkpoints with `save_checkpoint`.

    Files of a storage backend other than the local one are written as before.
    """
    # imported lazily: mmengine.runner pulls in OpenCV
    from mmengine import runner
    from mmengine.fileio import LocalBackend, get_file_backend

    if runner.save_checkpoint.__module__ == __name__:
        return
    elsewhere = runner.save_checkpoint

    def save(checkpoint, filename, file_client_args=None, backend_args=None):
        if (
            file_client_args is None
            and '://' not in filename
            and isinstance(get_file_backend(filename, backend_args=backend_args), LocalBackend)
        ):
            save_checkpoint(checkpoint, filename)
        else:
            elsewhere(checkpoint, filename, file_client_args, backend_args)

    for module in (runner, runner.checkpoint, runner.runner):
        module.save_checkpoint = save


def _refusal(error: BaseException) -> str | None:
    """Return what the file system said; None if the error has another cause."""
    # torch raises a RuntimeError of its own while the OSError is on its way
    while error is not None:
        if isinstance(error, OSError):
            return error.strerror or str(error)
        error = error.__context__
    return None


def _sync_folder(folder: str) -> None:
    # a new name is on the disk only when its folder is; some network file systems
    # cannot sync folders
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
