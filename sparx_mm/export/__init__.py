"""Export: networks as files that other runtimes run, each held to torch."""

from .command import Report, export
from .files import FORMATS, PRECISIONS, export_program

__all__ = ['FORMATS', 'PRECISIONS', 'Report', 'export', 'export_program']
