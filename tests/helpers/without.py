"""Run code in a process that lacks some of the installed packages."""

import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SITE = Path(sysconfig.get_path('purelib'))


def run_without(packages, code, folder):
    """Run code where import packages and the distributions that install them are absent.

    Args:
        packages (Sequence[str]): Import packages, installed or not.
        code (str): Python code.
        folder (Path): A folder without an entry ``site``; the working folder.

    Returns:
        CompletedProcess: With stdout and stderr as text.
    """
    installed = metadata.packages_distributions()
    hidden = _entries(name for package in packages for name in installed.get(package, ()))
    return _run({entry.name for entry in SITE.iterdir()} - hidden, code, folder)


def run_after_install(requirements, code, folder):
    """Run code as after ``pip install``, with these and what they require.

    Args:
        requirements (Sequence[str]): Requirements, each of them installed here.
        code (str): Python code.
        folder (Path): A folder without an entry ``site``; the working folder.

    Returns:
        CompletedProcess: With stdout and stderr as text.
    """
    found, todo = set(), list(requirements)
    while todo:
        need = Requirement(todo.pop())
        name = canonicalize_name(need.name)
        if name in found or (need.marker and not need.marker.evaluate(dict(extra=''))):
            continue
        found.add(name)
        todo += _distribution(name).requires or ()
    return _run(_entries(found), code, folder)


def _entries(distributions):
    """Return the names in site-packages that distributions have installed."""
    return {file.parts[0] for name in distributions for file in _distribution(name).files}


def _distribution(name):
    # there, because a build leaves an egg-info without these files in the clone
    return next(metadata.distributions(name=name, path=[str(SITE)]))


def _run(entries, code, folder):
    site = folder / 'site'
    site.mkdir()
    for name in entries:
        # a distribution's programs are outside: ../../../bin
        if name != '..':
            (site / name).symlink_to(SITE / name)
    # -I and -S hide the working folder and the real packages
    start = f'import site; site.addsitedir({str(site)!r})\n'
    return subprocess.run(
        [sys.executable, '-I', '-S', '-c', start + code], cwd=folder, capture_output=True, text=True
    )
