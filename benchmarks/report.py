"""Output of a run: a header, tables in markdown, progress on stderr."""

import datetime
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch
from measure import device_name

from sparx_mm.errors import UserError
from sparx_mm.kernels import backend_report

_MIB = 1 << 20


def progress(text):
    """Print on stderr what is being done."""
    print(f'... {text}', file=sys.stderr, flush=True)


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return 'none'


def _revision():
    """Return the commit, with '-dirty' if files differ from it."""
    try:
        done = subprocess.run(
            ['git', 'describe', '--always', '--dirty', '--exclude=*'],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
        )
    except OSError:
        return 'unknown'
    return done.stdout.strip() or 'unknown'


def header(title, args, ratio_of='a form over ss2d'):
    """Write the heading and the lines about the machine and the versions.

    Args:
        title (str): Subject of the measurement.
        args (Namespace): The command line.
        ratio_of (str): Numerator and denominator of the ratios.
            Default: ``'a form over ss2d'``.

    Returns:
        str: Markdown.
    """
    device = args.device
    backend = 'triton' if device.type == 'cuda' else 'cpu'
    facts = [
        str(datetime.date.today()),
        f'{device_name(device)} ({device})',
        f'{torch.get_num_threads()} CPU threads',
        f'Python {platform.python_version()}',
        *(f'{name} {_version(name)}' for name in ('torch', 'triton', 'numba')),
        f'revision {_revision()}',
    ]
    return (
        f'# {title}\n\n{", ".join(facts)}. Kernels: {backend}, '
        f'{backend_report()[backend]}.\n\nMinimum and median of '
        f'{args.repeats} calls in milliseconds (fewer calls of very slow '
        f'forms), all in turns; "x" is {ratio_of}, by the minimum.'
    )


def missing_peers(reasons):
    """Write a sentence for each peer that does not run here."""
    return ''.join(
        f' Not measured: {name}, {reason}.' for name, reason in reasons.items() if reason
    )


class Report:
    """Print blocks of text and, if there is a file, keep them there.

    The file is written anew with every block, so that a run that is cut short
    leaves the tables that it finished.

    Args:
        path (str, optional): Path of the file. Default: None.

    Raises:
        UserError: If the file cannot be written.
    """

    def __init__(self, path=None):
        self._path, self._text = path and Path(path), ''
        # fails now, not after the first table; appending keeps what is there
        self._write('a')

    def add(self, block):
        """Print a block, with an empty line after it."""
        print(block, end='\n\n', flush=True)
        self._text += f'\n\n{block}' if self._text else block
        self._write('w')

    def _write(self, mode):
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open(mode) as file:
                file.write(self._text and f'{self._text}\n')
        except OSError as error:
            raise UserError(
                f'--output {self._path} cannot be written ({error.strerror})'
            ) from error


def table(columns, rows):
    """Write a table in markdown.

    Args:
        columns (Sequence[str]): Headings.
        rows (Sequence[Sequence[str]]): Cells.

    Returns:
        str: Its lines, without the columns that have no content.
    """
    used = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    lines = [columns, ['-'] * len(columns), *rows]
    return '\n'.join(f'| {" | ".join(cells[i] for i in used)} |' for cells in lines)


def number(value):
    """Write three digits, or more if there are more before the point."""
    digits = len(str(int(value))) if value >= 1 else 0
    return f'{value:.{max(0, 3 - digits)}f}'


def ratio(value, own):
    """Write a value as a multiple of our own; '' if either was not measured.

    Args:
        value (float, optional): A measurement.
        own (float, optional): The same of ss2d.
    """
    return f'{value / own:.2f}x' if value is not None and own else ''


def time_cells(sample):
    """Write minimum and median, or that memory did not suffice."""
    if sample is None:
        return ['out of memory', '']
    return [number(sample.minimum), number(sample.median)]


def against_cells(sample, own):
    """Write the peak memory, and time and memory over our own.

    Args:
        sample (Sample, optional): Sample of a form.
        own (Sample, optional): Sample of ss2d.

    Returns:
        list[str]: MiB and two ratios, '' where there is none.
    """
    if sample is None:
        return [''] * 3
    time = ratio(sample.minimum, own and own.minimum)
    if sample.memory is None:
        return ['', time, '']
    return [number(sample.memory / _MIB), time, ratio(sample.memory, own and own.memory)]
