"""Refuse to pack a tree without its links, and forget the last build; setup.cfg has all else."""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist


def check_links():
    """Exit if the package would have no configs."""
    if not Path('sparx_mm/.mim/configs').is_dir():
        sys.exit(
            'error: sparx_mm/.mim/configs is no link to a folder, as in a ZIP file or with '
            "git's core.symlinks=false: install a .tar.gz or a clone with links, or use "
            'pip install --editable'
        )


class Build(build_py):
    """The command that copies the files of a wheel."""

    def run(self):
        # an editable package reads configs/ beside it
        if not self.editable_mode:
            check_links()
            # the wheel gets all of this folder, also what the last build left there; a folder
            # that somebody names may have other things in it
            if Path('build').resolve() in Path(self.build_lib).resolve().parents:
                shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


class Source(sdist):
    """The command that makes a source distribution."""

    def run(self):
        check_links()
        super().run()


setup(cmdclass=dict(build_py=Build, sdist=Source))
