"""What a user gets wrong ends in one line; what we get wrong keeps its trace."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


class UserError(Exception):
    """Something that the user can put right; the message says how.

    Its message is one line: what was given, what is wrong, what to do.

    Args:
        message (str): The line. torch raises what a worker of a DataLoader
            raised anew, with the worker's traceback in its place: then it
            is found at the end of that.
    """

    def __init__(self, message: str) -> None:
        name = f'{type(self).__module__}.{type(self).__qualname__}'
        super().__init__(str(message).rpartition(f'\n{name}: ')[2])


class ConfigError(UserError, ValueError):
    """An argument of a config, an arch or a constructor is not allowed.

    It is a `ValueError` too, as callers in Python expect. Its message says
    what was given, what is allowed and what to do.
    """


# by launcher: variables with the number of a process, and on its machine
RANKS = (
    ('RANK', 'LOCAL_RANK'),
    ('SLURM_PROCID', 'SLURM_LOCALID'),
    ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK'),
)
# seconds: processes reach the same line as far apart as they start
PATIENCE = 10


def fail(message: str, status: int = 1) -> NoReturn:
    """End the process in one line on stderr.

    Of several processes with the same mistake only the first is heard: it
    exits at once and the launcher ends the others, which wait before they
    speak. So what only another one finds wrong is heard too, a little later,
    and once for each machine.

    Args:
        message (str): What is wrong.
        status (int): The exit status. Default: 1.
    """
    start = 'error:'
    rank, local_rank = _process()
    if rank:
        time.sleep(PATIENCE + local_rank)
        start = f'error: process {rank}:'
    print(start, ' '.join(message.split()), file=sys.stderr, flush=True)
    sys.exit(status)


def _process():
    for names in RANKS:
        values = [os.environ.get(name, '') for name in names]
        if values[0].isdecimal():
            return [int(v) if v.isdecimal() else 0 for v in values]
    return 0, 0


@contextmanager
def user_errors() -> Iterator[None]:
    """End a command line in one line on stderr instead of a traceback.

    `UserError` exits with status 1, an interrupt with 130 (128 + SIGINT, as
    a shell reports it). Every other exception passes through.

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
        fail(str(error))
    except KeyboardInterrupt:
        fail('interrupted', 130)
