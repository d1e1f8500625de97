"""The JSON logs that mmengine writes while it trains."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError

# where logs are in a folder of a run; the stars are the times of its starts
PLACES = ('*/vis_data/scalars.json', 'vis_data/scalars.json', 'scalars.json')
# numbers of a record that are no curves
COUNTERS = ('iter', 'epoch', 'step')


class RunLog(NamedTuple):
    """What a training has logged.

    Args:
        name (str): Name of the run.
        curves (dict): Pairs of iteration and value by the name of the curve, in the order
            of the iterations.
        metrics (tuple[str, ...]): Names of the curves that evaluations have measured.
    """

    name: str
    curves: dict[str, list[tuple[int, float]]]
    metrics: tuple[str, ...]


def read_run(path: str, name: str | None = None) -> RunLog:
    """Read the log of a training, whose resumed parts continue each other.

    Iterations that a resumed part has done anew are taken from that part.

    Args:
        path (str): Folder of a run, or a file ``scalars.json``.
        name (str, optional): Name of the run. None: the path. Default: None.

    Returns:
        RunLog: Its curves.

    Raises:
        UserError: If there is no log, if it cannot be read, or if it has no curves.
    """
    files = find_logs(path)
    if not files:
        raise UserError(
            f'no log of a training in {Path(path).absolute()}: give the --work-dir of a training, '
            'or a file scalars.json'
        )
    curves, metrics = defaultdict(list), {}
    for file in files:
        last = max((points[-1][0] for points in curves.values() if points), default=0)
        records = list(_place(_read_records(file), last))
        start = _find_start(records)
        for points in curves.values():
            points[:] = [point for point in points if point[0] < start]
        for at, is_metric, record in records:
            for key, value in record.items():
                if isinstance(value, (int, float)) and key not in COUNTERS:
                    key = key.removeprefix('train/').removeprefix('val/')
                    # an evaluation takes time too
                    if is_metric and key in ('time', 'data_time'):
                        continue
                    curves[key].append((at, value))
                    if is_metric:
                        metrics[key] = None
    found = {key: points for key, points in curves.items() if points}
    if not found:
        raise UserError(f'the log of {path} has no curves: a test or a training too short for them')
    return RunLog(name or str(path), found, tuple(key for key in metrics if key in found))


def _find_start(records) -> float:
    """Return the iteration from which a file replaces those before it."""
    steps = [at for at, is_metric, _ in records if not is_metric]
    if not steps:
        # an evaluation alone replaces nothing
        return float('inf')
    # a run that logs at once has no iterations before its first ones: it was begun anew
    begun_anew = len(steps) > 1 and steps[0] <= steps[1] - steps[0]
    return 0 if begun_anew else steps[0]


def find_logs(path: str) -> list[Path]:
    """Find the files that a training has logged to, the oldest first.

    Args:
        path (str): Folder of a run, or a file.

    Returns:
        list[Path]: The files; empty if there is none.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    # the names of the folders are times
    return sorted(file for place in PLACES for file in path.glob(place))


def name_runs(paths: Sequence[str]) -> list[str]:
    """Name runs by the ends of their paths, as short as they differ.

    Args:
        paths (Sequence[str]): Paths of different runs.

    Returns:
        list[str]: A name for each.
    """
    parts = [Path(path).absolute().parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ['/'.join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise UserError('a run is given twice')


def _read_records(file: Path) -> list[dict]:
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'the log {file} cannot be read: {error}') from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError as error:
            if number == len(lines) and records:
                # a run that was killed while it wrote
                break
            raise UserError(f'{file}, line {number} is not JSON: is it a log?') from error
        if not isinstance(record, dict):
            raise UserError(f'{file}, line {number} is no record of a log: {line[:60]}')
        records.append(record)
    return records


def _place(records: Iterable[dict], last: int) -> Iterator[tuple[int, bool, dict]]:
    """Yield each record with its iteration, and True if it is one of an evaluation."""
    for record in records:
        if 'iter' in record:
            last = record['iter']
            yield last, False, record
        elif 'step' in record:
            # the step is an epoch, which is less than the iteration, or the iteration
            yield max(last, record['step']), True, record
