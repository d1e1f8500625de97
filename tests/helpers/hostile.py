"""Checkpoints that run code when they are read carelessly."""

import os
import zipfile
from pathlib import Path

from mmengine.logging import HistoryBuffer


class Runs:
    """A pickle that calls a function.

    Args:
        function (Callable): The function, importable by name.
        *args: The function's arguments.
    """

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def touch(path: Path) -> str:
    """Write Python code that leaves a file behind."""
    return f'open({str(path)!r}, "w").close()'


def payloads(trace: Path) -> dict:
    """Make objects that run code when they are unpickled, by name.

    Args:
        trace (Path): The file that the code would write.
    """
    gadget = Runs(getattr, HistoryBuffer, '__init__')
    return dict(
        system=Runs(os.system, f'touch {trace}'),
        evaluated=Runs(eval, touch(trace)),
        # reaches a function's globals, and through them all builtins
        getattr_gadget=Runs(eval, touch(trace), Runs(getattr, gadget, '__globals__')),
        getattr_alone=gadget,
    )


def rewrite(path: str, records: dict, compression: int = zipfile.ZIP_STORED) -> None:
    """Write a torch file again with other records, their checksums right.

    Args:
        path (str): The file.
        records (dict): Bytes by the end of a record's name; None leaves it out, and
            a name that no record has is added.
        compression (int): Of all records. Default: none.
    """
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    folder = next(iter(found)).partition('/')[0]
    for end, content in records.items():
        name = next((name for name in found if name.endswith(f'/{end}')), f'{folder}/{end}')
        found[name] = content
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, content in found.items():
            if content is not None:
                archive.writestr(name, content)


def record(path: str, end: str) -> bytes:
    """Read the record of a torch file whose name ends so."""
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(n for n in archive.namelist() if n.endswith(f'/{end}')))
