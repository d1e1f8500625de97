"""Which of many files exist, by listing their folders once."""

import os
import os.path as osp
from collections.abc import Iterable, Sequence


def describe_missing(
    source: str, paths: Sequence[str], what: str = 'images'
) -> tuple[str, list[str]]:
    """Describe how many files of a list are missing.

    Args:
        source (str): The file or folder that lists them.
        paths (Sequence[str]): Paths of files on local storage.
        what (str): Name of the files. Default: ``'images'``.

    Returns:
        tuple[str, list[str]]: Start of a line, and the missing ones; ``''`` and an empty
        list if there are none.
    """
    missing = _missing_files(paths)
    if not missing:
        return '', []
    first = osp.abspath(missing[0])
    return (
        f'{source}: {len(missing)} of {len(paths)} {what} are missing, the first is {first}',
        missing,
    )


def _missing_files(paths: Iterable[str]) -> list[str]:
    """Return the paths at which no file is, in order."""
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
