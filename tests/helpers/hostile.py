"""Checkpoints that run code when they are read carelessly."""

import os
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
