"""Following a run and judging its result: curves, pictures of the data, reports of tests."""

from .browse import browse
from .curves import choose_keys, draw_curves
from .report import Report, check_report
from .run_logs import name_runs, read_run

__all__ = [
    'Report',
    'browse',
    'check_report',
    'choose_keys',
    'draw_curves',
    'name_runs',
    'read_run',
]
