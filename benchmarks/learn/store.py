"""Results of finished runs in a file that several processes write, a line of JSON each."""

import fcntl
import json
import os
import zlib
from pathlib import Path
from typing import NamedTuple

from sparx_mm.errors import UserError


class Run(NamedTuple):
    """What one training was.

    Args:
        task (str): Key of ``TASKS``.
        network (str): Key of ``NETWORKS``.
        condition (str): Key of ``CONDITIONS``.
        phase (str): ``'choice'`` of learning rate and initial weights, on a held-out part, and
            ``'finalist'``, one of the best of these, at the length of a result; ``'pace'``, which is CPU time alone; or ``'result'``.
        rate (float): Learning rate.
        init (str): Key of ``INITS``.
        seed (int): Seed.
        iterations (int): Number of them.
        parameters (int): Parameters that the network was fitted to.
        images (int): Training images of a drawn task; 0 of others.
    """

    task: str
    network: str
    condition: str
    phase: str
    rate: float
    init: str
    seed: int
    iterations: int
    parameters: int
    images: int

    def __str__(self):
        if self.phase == 'pace':
            return f'{self.task}, {self.network}, pace'
        condition = '' if self.condition == 'float32' else f', {self.condition}'
        return (
            f'{self.task}, {self.network}{condition}, rate {self.rate:g}, {self.init} init, '
            f'seed {self.seed}'
        )


def read(path):
    """Read finished runs.

    Args:
        path (Path): File of results, which need not exist.

    Returns:
        dict[Run, dict]: Results by run. A line that was cut short or damaged is left out.

    Raises:
        UserError: If it cannot be read.
    """
    records = {}
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        raise UserError(f'--results {path} cannot be read ({error.strerror})') from error
    for line in lines:
        try:
            record = json.loads(line)
            records[Run(**record.pop('run'))] = record
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return records


class Store:
    """File of results, to which several processes may add.

    A run that a process works on is a locked byte of a file beside it, which Linux
    unlocks however the process ends.

    Args:
        path (Path): File of results.
        select (Callable, optional): Function that leaves out of results by run those that do not
            count. Default: all count.

    Raises:
        UserError: If it cannot be written.
    """

    def __init__(self, path, select=dict):
        self.path, self._select = Path(path), select
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.open('a').close()
            self._lock = open(f'{self.path}.lock', 'a')
        except OSError as error:
            raise UserError(f'--results {path} cannot be written ({error.strerror})') from error

    def read(self):
        """Read the runs that all processes have finished and that count, see `read`."""
        return self._select(read(self.path))

    def weights(self, run):
        """Name the file of the backbone that a run has trained.

        Args:
            run (Run): What was trained.

        Returns:
            Path: The file.
        """
        name = '_'.join(str(value) for value in run).replace(' ', '-')
        return self.path.parent / f'{self.path.stem}_weights' / f'{name}.pth'

    def claim(self, run):
        """Take a run, and return False if it is finished or another process works on it.

        Args:
            run (Run): What is to be trained.
        """
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(run))
        except (BlockingIOError, PermissionError):
            return False
        if run in self.read():
            self.release(run)
            return False
        return True

    def release(self, run):
        """Let other processes have a run.

        Args:
            run (Run): Run that was taken.
        """
        fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, _place(run))

    def add(self, run, result):
        """Write the result of a run, whole, before the function returns.

        Args:
            run (Run): What was trained.
            result (dict): What came of it.
        """
        line = json.dumps(dict(run=run._asdict(), **result)) + '\n'
        fcntl.lockf(self._lock, fcntl.LOCK_EX, 1, 0)
        try:
            with self.path.open('rb+') as file:
                # a line that was cut short ends before this one
                if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) + 1:
                    line = line if file.read(1) == b'\n' else f'\n{line}'
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(f'{self.path} cannot be written ({error.strerror})') from error
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, 0)


def _place(run):
    # 0 is for the file
    return 1 + zlib.crc32(json.dumps(run).encode())
