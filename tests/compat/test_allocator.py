"""Freed memory of a run on a CPU: kept for the next maps, unless the user says otherwise."""

import resource

import numpy as np
import pytest

from sparx_mm.compat import allocator

VARIABLES = ('MALLOC_TRIM_THRESHOLD_', 'MALLOC_MMAP_THRESHOLD_', 'GLIBC_TUNABLES')


@pytest.fixture(autouse=True)
def _unset(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def _faults():
    """Count the pages that the system has handed out."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def test_a_map_lies_where_the_one_before_lay():
    assert allocator.keep_freed_memory()
    np.ones(40 << 17)
    before = _faults()
    for _ in range(5):
        np.ones(40 << 17)
    # 5 maps of 40 MiB are 50,000 pages
    assert _faults() - before < 1000


@pytest.mark.parametrize('name', VARIABLES)
def test_a_user_has_the_last_word(name, monkeypatch):
    monkeypatch.setenv(name, '1')
    assert not allocator.keep_freed_memory()


def test_other_c_libraries(monkeypatch):
    monkeypatch.setattr(allocator.ctypes, 'CDLL', lambda name: object())
    assert not allocator.keep_freed_memory()
