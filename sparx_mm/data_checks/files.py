"""Lists of files, and which of them exist."""

import os
import os.path as osp
from collections.abc import Iterable, Sequence

from ..errors import UserError


def read_text(path: str, encoding: str | None = None) -> str:
    """Read a text file whose encoding is the reader's choice.

    Args:
        path (str): The file.
        encoding (str, optional): Its encoding. Default: the system's.

    Returns:
        str: Its content.

    Raises:
        UserError: If it is in another encoding.
    """
    try:
        with open(path, encoding=encoding) as file:
            return file.read()
    except UnicodeDecodeError as error:
        encoding = error.encoding.upper()
        raise UserError(f'{path} is not a text file in {encoding}: save it as such') from error


def read_lines(path: str) -> list[str]:
    """Read a list of images.

    Args:
        path (str): A text file with a line for each image.

    Returns:
        list[str]: Its lines, without the ends of lines.

    Raises:
        UserError: If it is not UTF-8 without a byte order mark, or empty.
    """
    try:
        with open(path, encoding='utf-8') as file:
            lines = [line.rstrip('\n\r') for line in file]
    except UnicodeDecodeError as error:
        raise UserError(f'{path} is not UTF-8 ({error.reason}): save it as UTF-8') from error
    if not lines:
        raise UserError(f'{path} lists no image')
    if lines[0].startswith('\ufeff'):
        raise UserError(
            f'{path} begins with a byte order mark, which becomes part of the first name: save '
            'it as UTF-8 without BOM'
        )
    return lines


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
    # each folder is listed once
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
