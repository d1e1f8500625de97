"""The checkpoint that a run continues from, and errors that name it."""

import errno
import os.path as osp
from collections.abc import Iterator
from contextlib import contextmanager

from ...checkpoint_io import WriteError, write_text
from ...errors import UserError

# of mmengine, whose Runner reads it
POINTER = 'last_checkpoint'


def name_last(work_dir: str, path: str) -> None:
    """Write down which checkpoint a run continues from.

    Args:
        work_dir (str): Folder of the run.
        path (str): The checkpoint, which is on the disk.

    Raises:
        WriteError: If it cannot be written.
    """
    write_text(osp.join(work_dir, POINTER), path)


@contextmanager
def saving_errors(work_dir: str) -> Iterator[None]:
    """Name the last checkpoint when another one cannot be written.

    Args:
        work_dir (str): Folder of the run.

    Raises:
        WriteError: Instead of the one that the block raises.
    """
    try:
        yield
    except WriteError as error:
        raise WriteError(f'{error}; {_describe_last(work_dir)}') from error


@contextmanager
def disk_errors(work_dir: str) -> Iterator[None]:
    """End a run whose log or metrics cannot be written in one line too.

    Args:
        work_dir (str): Folder of the run.

    Raises:
        UserError: Instead of an `OSError` of a full disk or a read-only file system.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        where = error.filename or osp.abspath(work_dir)
        raise UserError(
            f'{where} cannot be written ({error.strerror}); {_describe_last(work_dir)}'
        ) from error


def _describe_last(work_dir: str) -> str:
    pointer = osp.join(work_dir, POINTER)
    if not osp.isfile(pointer):
        return 'there is no checkpoint before it'
    with open(pointer, encoding='utf-8') as file:
        return f'{file.read()} is whole: continue from it with --resume'
