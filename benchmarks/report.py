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
from sparx_mm.kernels import backend_report, dispatch

_MIB = 1 << 20


def progress(text):
    """Print a line about progress on stderr."""
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


def software():
    """Name the date, the versions and the revision that a table was made with."""
    return [
        str(datetime.date.today()),
        f'Python {platform.python_version()}',
        *(f'{name} {_version(name)}' for name in ('torch', 'triton', 'numba')),
        f'revision {_revision()}',
    ]


def machine(title, args):
    """Write a heading, and the line about the machine and its software.

    Args:
        title (str): Heading.
        args (Namespace): Command line.

    Returns:
        str: Markdown.
    """
    device = args.device
    backend = dispatch.choose(torch.empty(0, device=device))
    date, *versions = software()
    facts = [
        date,
        f'{device_name(device)} ({device})',
        f'{torch.get_num_threads()} CPU threads',
        *versions,
    ]
    return f'# {title}\n\n{", ".join(facts)}. Kernels: {backend}, {backend_report()[backend]}.'


def header(title, args, ratio_of='a form over ss2d'):
    """Write `machine` and how calls are timed in turns.

    Args:
        title (str): Heading.
        args (Namespace): Command line.
        ratio_of (str): Numerator and denominator of the ratios. Default:
            ``'a form over ss2d'``.

    Returns:
        str: Markdown.
    """
    own = args.device.type == 'cpu' and torch.get_num_threads() == 1
    return (
        f'{machine(title, args)}\n\nMinimum and median of {args.repeats} calls in '
        f'milliseconds{" of the thread" if own else ""} (fewer calls of very slow '
        f'forms), all in turns; "x" is {ratio_of}, by the minimum.'
    )


def missing_peers(reasons):
    """Write a sentence for each peer that does not run here."""
    return ''.join(
        f' Not measured: {name}, {reason}.' for name, reason in reasons.items() if reason
    )


class Report:
    """Printer of blocks of text, which also keeps them in a file.

    The file is written anew with every block: a run that is cut short leaves
    the tables that it finished.

    Args:
        path (str, optional): Path of the file. Default: no file.

    Raises:
        UserError: If the file cannot be written.
    """

    def __init__(self, path=None):
        self._path, self._text = path and Path(path), ''
        # appended to, because this only finds out whether it can be written
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
    """Format a table in markdown.

    Args:
        columns (Sequence[str]): Headings.
        rows (Sequence[Sequence[str]]): Cells.

    Returns:
        str: The lines, without columns that have no content.
    """
    used = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    lines = [columns, ['-'] * len(columns), *rows]
    return '\n'.join(f'| {" | ".join(cells[i] for i in used)} |' for cells in lines)


def number(value):
    """Format a number with three digits, or with all digits before the point."""
    digits = len(str(int(value))) if value >= 1 else 0
    return f'{value:.{max(0, 3 - digits)}f}'


def ratio(value, own):
    """Format a value as a multiple of our own.

    Args:
        value (float, optional): Value of a form.
        own (float, optional): Value of ss2d.

    Returns:
        str: The ratio; '' if either was not measured.
    """
    return f'{value / own:.2f}x' if value is not None and own else ''


def time_cells(sample):
    """Format minimum and median, or say that memory did not suffice."""
    if sample is None:
        return ['out of memory', '']
    return [number(sample.minimum), number(sample.median)]


def against_cells(sample, own):
    """Format peak memory, and time and memory as multiples of our own.

    Args:
        sample (Sample, optional): Result of a form.
        own (Sample, optional): Result of ss2d.

    Returns:
        list[str]: Memory in MiB, and two ratios; empty where there is none.
    """
    if sample is None:
        return [''] * 3
    time = ratio(sample.minimum, own and own.minimum)
    if sample.memory is None:
        return ['', time, '']
    return [number(mebibytes(sample)), time, ratio(sample.memory, own and own.memory)]


def mebibytes(sample):
    """Return the peak memory of a sample in MiB."""
    return sample.memory / _MIB
