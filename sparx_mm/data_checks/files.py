"""Which of many files exist, by listing their folders once."""

import os
import os.path as osp
from collections.abc import Iterable


def missing_files(paths: Iterable[str]) -> list[str]:
    """Return the paths at which no file is, in order.

    Args:
        paths (Iterable[str]): Paths of files on local storage.
    """
    present: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, name = osp.split(path)
        if folder not in present:
            present[folder] = _list_files(folder or '.')
        # isfile too, because some file systems do not tell letter case apart
        if name not in present[folder] and not osp.isfile(path):
            missing.append(path)
    return missing


def _list_files(folder: str) -> set[str]:
    if not osp.isdir(folder):
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_file()}
