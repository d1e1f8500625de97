"""Settings of OpenMP reach the process that is timed, and the table names the worst case."""

import os

import pytest
import torch


@pytest.fixture
def waiting(monkeypatch):
    import waiting

    # as a user may have them
    monkeypatch.setenv('OMP_WAIT_POLICY', 'active')
    monkeypatch.delenv('GOMP_SPINCOUNT', raising=False)
    return waiting


def test_a_process_has_its_settings_alone(waiting):
    names = ('GOMP_SPINCOUNT', 'OMP_WAIT_POLICY')
    found = [waiting.call(dict(GOMP_SPINCOUNT='7'), 1, os.getenv, name) for name in names]
    assert found == ['7', None]
    assert [os.getenv(name) for name in names] == [None, 'active']


def test_the_table(waiting, run, monkeypatch):
    # by setting and number of other programs: for one thread and for three
    times = {'{}': [10, 300], "{'GOMP_SPINCOUNT': '2000'}": [10, 100]}

    def call(settings, others, function, images, threads, repeats):
        assert (function, threads, repeats) == (waiting.step_times, [1, 3], 5)
        alone, beside = times.get(str(settings), [15, 100])
        return [10.0, beside if others else alone]

    monkeypatch.setattr(waiting, 'call', call)
    status, out, err = run(waiting.main, '--threads', 3, '--repeats', 5)
    assert status == 0, err
    rows = [line.split(' | ')[1:] for line in out.splitlines() if line.startswith('| ')][-6:]
    assert [row[:1] + row[-1:] for row in rows] == [
        *[['1', '1.00x |']] * 3,
        ['3', '3.00x |'],
        ['3', '1.00x |'],
        ['3', '1.50x |'],
    ]


def test_steps_are_timed(waiting, small):
    from options import Input

    images = Input(36, 36, 1, torch.float32)
    assert all(ms > 0 for ms in waiting.step_times(images, [1, 2], 1))
