"""Errors of the user end in one line; errors of the code keep their traceback."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


class UserError(Exception):
    """A mistake that the user can put right; the message says how.

    The message is one line: what was given, what is wrong, what to do.

    Args:
        message (str): The line. When a worker of a DataLoader raises this
            error, torch raises it again with the worker's traceback as the
            message; the line is then taken from the end of the traceback.
    """

    def __init__(self, message: str) -> None:
        name = f'{type(self).__module__}.{type(self).__qualname__}'
        super().__init__(str(message).rpartition(f'\n{name}: ')[2])


class ConfigError(UserError, ValueError):
    """An argument of a config, an arch or a constructor that is not allowed.

    It is a `ValueError` too, as callers in Python expect. The message says
    what was given, what is allowed and what to do.
    """


class LostProcess(UserError):
    """The end of another process of the run, which has its own message."""


def error_text(error: BaseException) -> str:
    """Return the message of an exception, or its type if it has none."""
    # str(KeyError('text')) would add quotes
    text = error.args[0] if len(error.args) == 1 else error
    return str(text) or type(error).__name__


# set to anything, the traceback of what became one line is printed before it
TRACEBACK_VARIABLE = 'SPARX_MM_TRACEBACK'
# variables that each launcher sets: the number of a process among all, and
# among those on its machine
RANKS = dict(
    pytorch=('RANK', 'LOCAL_RANK'),
    slurm=('SLURM_PROCID', 'SLURM_LOCALID'),
    mpi=('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK'),
)
# seconds; processes start, and so fail, this far apart at most
LATER_RANK_DELAY_S = 10


def fail(message: str, status: int = 1, wait: bool = False) -> NoReturn:
    """End the process with one line on stderr.

    When several processes make the same mistake, only the first prints it: it
    exits at once, and the launcher ends the others while they wait. A mistake
    that the first process does not make is printed after the wait, once for
    each machine.

    Args:
        message (str): Description of the mistake.
        status (int): Exit status. Default: 1.
        wait (bool): Wait as a later process does, because another one has more to say.
            Default: False.
    """
    start = 'error:'
    rank, local_rank = _process()
    if rank or wait:
        # a run saves on this signal; a launcher that sends it now has ended the run
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(LATER_RANK_DELAY_S + local_rank)
        start = f'error: process {rank}:'
    print(start, ' '.join(message.split()), file=sys.stderr, flush=True)
    sys.exit(status)


def _process() -> tuple[int, int]:
    """Return the number of this process among all, and on its machine."""
    for names in RANKS.values():
        values = [os.environ.get(name, '') for name in names]
        if values[0].isdecimal():
            rank, local_rank = (int(v) if v.isdecimal() else 0 for v in values)
            return rank, local_rank
    return 0, 0


@contextmanager
def user_errors() -> Iterator[None]:
    """End a command line in one line on stderr instead of a traceback.

    `UserError` exits with status 1, an interrupt with 130 (128 + SIGINT, as
    a shell reports it). Every other exception passes through. With the variable
    ``SPARX_MM_TRACEBACK`` in the environment the traceback is printed too.

    Example:
        >>> @user_errors()
        ... def main():
        ...     raise UserError('no such file: a.py')
        >>> main()
        Traceback (most recent call last):
        SystemExit: 1
    """
    try:
        yield
    except UserError as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            traceback.print_exception(error)
        fail(str(error), wait=isinstance(error, LostProcess))
    except KeyboardInterrupt:
        fail('interrupted', 130)
