"""A lock that keeps two runs out of one folder."""

import fcntl
import os
import os.path as osp
import socket
from typing import TextIO

from mmengine.logging import print_log

from ..errors import UserError

LOCK = '.lock'


def lock_folder(folder: str) -> TextIO | None:
    """Lock a folder for the run of this process.

    The lock ends with the process, however that ends. A process that has it may take
    it again.

    Args:
        folder (str): Folder of the run.

    Returns:
        TextIO or None: A file that holds the lock until it is closed; None if the file
        system has no locks.

    Raises:
        UserError: If another process has it.
    """
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
