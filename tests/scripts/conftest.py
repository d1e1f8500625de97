"""Fixtures of the tests of scripts/, none of which installs anything."""

import shutil

import pytest


@pytest.fixture
def program(tmp_path):
    """Write programs that print something, into a folder of their own."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    (folder / 'cat').symlink_to(shutil.which('cat'))

    def write(name, prints='', status=0):
        path = folder / name
        path.write_text(f'#!/bin/sh\ncat <<EOF\n{prints}\nEOF\nexit {status}\n')
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def machine(program, tmp_path, monkeypatch):
    """Put only a g++ on the PATH, and return the writer of further programs."""
    monkeypatch.setenv('PATH', str(program('g++').parent))
    # because there may be a compiler in /usr/local/cuda
    monkeypatch.setenv('CUDA_HOME', str(tmp_path))
    for name in ('CUDA_PATH', 'PYTHON'):
        monkeypatch.delenv(name, raising=False)
    return program
