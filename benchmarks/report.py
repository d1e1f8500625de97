"""What a run prints: a header, tables in markdown, progress on stderr."""

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
    """Say on stderr what is being done."""
    print(f'... {text}', file=sys.stderr, flush=True)


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return 'none'


def _revision():
    """The commit, '-dirty' where files differ from it."""
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
    """Heading and the lines that say where and with what this was measured.

    Args:
        title (str): What is measured.
        args (Namespace): The command line.
        ratio_of (str): What stands over what in the ratios.
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
    """A sentence for each peer that does not run here."""
    return ''.join(
        f' Not measured: {name}, {reason}.' for name, reason in reasons.items() if reason
    )


class Report:
    """Prints blocks of text and, if there is a file, keeps them there.

    The file is written anew with every block: a run that is cut short leaves
    the tables that it finished.

    Args:
        path (str, optional): The file.

    Raises:
        UserError: If the file cannot be written.
    """

    def __init__(self, path=None):
        self._path, self._text = path and Path(path), ''
        # found out now, not after the first table; what is there stays
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
    """A table in markdown.

    Args:
        columns (Sequence[str]): Headings.
        rows (Sequence[Sequence[str]]): Cells.

    Returns:
        str: Its lines; a column without any content is left out.
    """
    used = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    lines = [columns, ['-'] * len(columns), *rows]
    return '\n'.join(f'| {" | ".join(cells[i] for i in used)} |' for cells in lines)


def number(value):
    """Three digits, more where there are more before the point."""
    digits = len(str(int(value))) if value >= 1 else 0
    return f'{value:.{max(0, 3 - digits)}f}'


def ratio(value, own):
    """How many times as much as our own; '' if either was not measured."""
    return f'{value / own:.2f}x' if value is not None and own else ''


def time_cells(sample):
    """Minimum and median, or that memory did not suffice."""
    if sample is None:
        return ['out of memory', '']
    return [number(sample.minimum), number(sample.median)]


def against_cells(sample, own):
    """Peak memory, and time and memory over our own.

    Args:
        sample (Sample, optional): Of a form.
        own (Sample, optional): Of ss2d.

    Returns:
        list[str]: In MiB, and two ratios; empty where there is none.
    """
    if sample is None:
        return [''] * 3
    time = ratio(sample.minimum, own and own.minimum)
    if sample.memory is None:
        return ['', time, '']
    return [number(sample.memory / _MIB), time, ratio(sample.memory, own and own.memory)]
