"""The programs' modules, which find one another as they do when run."""

import sys

import pytest
import torch
from detection import ROOT


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'benchmarks')
    # the environment of a developer must not choose what is tested
    monkeypatch.delenv('SPARX_MM_KERNELS', raising=False)
    torch.manual_seed(0)


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs a program here, to its status, stdout and stderr."""

    def run(main, *args):
        monkeypatch.setattr(sys, 'argv', ['program', *map(str, args)])
        status = 0
        try:
            main()
        except SystemExit as stopped:
            status = stopped.code
        return status, *capsys.readouterr()

    return run
