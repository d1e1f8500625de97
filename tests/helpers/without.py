"""Run code in a process that lacks some of the installed packages."""

import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

SITE = Path(sysconfig.get_path('purelib'))


def run_without(packages, code, folder):
    """Run code where import packages and what installs them are not there.

    Args:
        packages (Sequence[str]): Import packages; installed or not.
        code (str): Python code.
        folder (Path): An empty folder; also the working folder.

    Returns:
        CompletedProcess: With stdout and stderr as text.
    """
    installed = metadata.packages_distributions()
    hidden = {
        file.parts[0]
        for package in packages
        for name in installed.get(package, ())
        for file in metadata.distribution(name).files
    }
    site = folder / 'site'
    site.mkdir()
    for entry in SITE.iterdir():
        if entry.name not in hidden:
            (site / entry.name).symlink_to(entry)
    # -I and -S: neither the working folder nor the real packages
    start = f'import site; site.addsitedir({str(site)!r})\n'
    return subprocess.run(
        [sys.executable, '-I', '-S', '-c', start + code], cwd=folder, capture_output=True, text=True
    )
