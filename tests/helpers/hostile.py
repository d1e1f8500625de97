"""Checkpoints that run code when they are read carelessly."""

import os
from pathlib import Path

from mmengine.logging import HistoryBuffer


class Runs:
    """A pickle that calls a function.

    Args:
        function (Callable): It.
        *args: Its arguments.
    """

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def touch(path: Path) -> str:
    """Python that leaves a file behind."""
    return f'open({str(path)!r}, "w").close()'


def payloads(trace: Path) -> dict:
    """What a hostile file may hold, by name; each would leave a trace.

    Args:
        trace (Path): The file that is there if something has run.
    """
    gadget = Runs(getattr, HistoryBuffer, '__init__')
    return dict(
        system=Runs(os.system, f'touch {trace}'),
        evaluated=Runs(eval, touch(trace)),
        # from a function to its globals, and to all builtins
        getattr_gadget=Runs(eval, touch(trace), Runs(getattr, gadget, '__globals__')),
        getattr_alone=gadget,
    )
