"""Export: networks as files that other runtimes run, each held to torch."""

from .command import Report, export
from .files import FORMATS, PRECISIONS, SCANS, export_program

__all__ = ['FORMATS', 'PRECISIONS', 'SCANS', 'Report', 'export', 'export_program']
