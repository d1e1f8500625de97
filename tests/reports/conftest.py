"""What several tests of the reports need."""

import runpy
import sys
from contextlib import suppress

import pytest


@pytest.fixture
def run_program(monkeypatch):
    """Return a function that runs a program in this process."""

    def run_program(path, *args):
        monkeypatch.setattr(sys, 'argv', [str(path), *map(str, args)])
        with suppress(SystemExit):
            runpy.run_path(str(path), run_name='__main__')

    return run_program
