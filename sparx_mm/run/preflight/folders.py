"""The folders that a run writes to and continues from."""

import os
import os.path as osp

from ...engine.saving.last_checkpoint import POINTER
from ...errors import UserError
from .weights import check_checkpoint


def ensure_writable(path: str, option: str) -> None:
    """Create a folder, if it is missing, and check that it can be written to.

    Args:
        path (str): The folder.
        option (str): Command-line option that chooses the folder.

    Raises:
        UserError: If it cannot be written to.
    """
    try:
        os.makedirs(path, exist_ok=True)
        writable = os.access(path, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise UserError(
            f'{osp.abspath(path)} cannot be written: choose another folder with {option}'
        )


def last_checkpoint(work_dir: str) -> str | None:
    """Find the checkpoint that ``--resume`` continues from.

    Args:
        work_dir (str): The folder of the run.

    Returns:
        str or None: The checkpoint saved last; None if there is none.

    Raises:
        UserError: If the folder names a checkpoint that is gone.
    """
    pointer = osp.join(work_dir, POINTER)
    if not osp.isfile(pointer):
        return None
    with open(pointer, encoding='utf-8', errors='replace') as file:
        path = file.read().strip() or 'nothing'
    others = sorted(name for name in os.listdir(work_dir) if name.endswith('.pth'))
    remedy = f'resume from another with --resume {work_dir}/FILE' + (
        f' (there are {", ".join(others)})' if others else ''
    )
    check_checkpoint(path, pointer, remedy)
    return path
