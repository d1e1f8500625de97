"""A lock that keeps two runs out of one folder."""

import fcntl
import os
import os.path as osp
import socket
from typing import TextIO

from mmengine.logging import print_log

from ..errors import UserError

LOCK = '.lock'
# of this process: file and number of holders by process and place, because a POSIX lock ends
# when any of a process's handles of the file is closed
_held: dict[tuple[int, str], tuple[TextIO, int]] = {}


class FolderLock:
    """Lock of a folder, until all who hold it in this process have closed theirs.

    A ``with`` block closes it at its end.
    """

    def __init__(self, place: tuple[int, str]) -> None:
        self._place: tuple[int, str] | None = place

    def close(self) -> None:
        """Give the lock up; a second time does nothing."""
        place, self._place = self._place, None
        if place is None:
            return
        file, holders = _held.pop(place)
        if holders > 1:
            _held[place] = file, holders - 1
        else:
            file.close()

    def __enter__(self) -> 'FolderLock':
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def lock_folder(folder: str) -> FolderLock | None:
    """Lock a folder for the run of this process.

    The lock ends with the process, however that ends. A process that has it may take
    it again.

    Args:
        folder (str): Folder of the run.

    Returns:
        FolderLock or None: The lock, which is held until it is closed; None if the file
        system has no locks.

    Raises:
        UserError: If another process has it.
    """
    place = os.getpid(), osp.realpath(folder)
    file, holders = _held.get(place) or (_take(folder), 0)
    if file is None:
        return None
    _held[place] = file, holders + 1
    return FolderLock(place)


def _take(folder):
    path = osp.join(folder, LOCK)
    file = open(path, 'a+')
    try:
        # of POSIX, not flock, because workers inherit a flock and may outlive a killed run
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        if not isinstance(error, (BlockingIOError, PermissionError)):
            print_log(f'{path}: no lock ({error.strerror}): start no second run in this folder')
            return None
        raise UserError(
            f'{osp.abspath(folder)} is in use by another run ({owner or "its name is unknown"}): '
            'end that one, or choose another folder with --work-dir'
        ) from error
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
    file.flush()
    return file
