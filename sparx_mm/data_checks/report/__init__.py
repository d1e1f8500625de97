"""A report on every image and annotation of the data sets of a config."""

from .clean import clean_options, write_clean
from .report import report_data
from .table import format_reports

__all__ = ['clean_options', 'format_reports', 'report_data', 'write_clean']
