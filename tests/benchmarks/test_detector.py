"""Two whole detectors, side by side."""

import sys

import pytest
from detection import tiny_options
from mmengine.config import Config

pytestmark = pytest.mark.stack
QUICK = ('--device', 'cpu', '--size', '64', '--repeats', '1', '--threads', '1')


@pytest.fixture
def narrow(small, monkeypatch, tmp_path):
    """Let backbones and heads have few channels."""
    import detector

    cfg = Config.fromfile(detector.CONFIG)
    options = tiny_options(tmp_path)
    cfg.merge_from_dict({key: value for key, value in options.items() if key.startswith('model.')})
    cfg.dump(tmp_path / 'narrow.py')
    monkeypatch.setattr(detector, 'CONFIG', tmp_path / 'narrow.py')
    monkeypatch.setattr(detector, 'SWIN_CHANNELS', [12, 24, 48, 96])


def test_both_are_timed_by_parts(run, narrow):
    import detector

    status, out, err = run(detector.main, *QUICK)
    assert status == 0, err
    lines = [s[2:-2].split(' | ') for s in out.splitlines() if s.startswith('| ')]
    for heading, _, *rows in (lines[:4], lines[4:]):
        assert [row[0] for row in rows] == ['SparX-Mamba-T', 'mmdet Swin-T']
        assert rows[1][-2:] == ['1.00x', '1.00x']
        for row in rows:
            ms, parts = float(row[1]), row[3 : heading.index('peak MiB')]
            # rounded to three digits, and another program may run between two parts
            assert 0.9 * ms < sum(map(float, parts)) < 1.02 * ms
    assert 'backward' in lines[4] and 'backward' not in lines[0]


def test_mistakes_end_in_one_line(run, monkeypatch):
    import detector

    for options in (QUICK, ('--device', 'cpu')):
        status, out, err = run(detector.main, *options, '--dtype', 'bfloat16')
        assert status == 1 and not out
        assert err.splitlines()[-1] == 'error: --dtype: detectors are timed in float32 alone'
    monkeypatch.setitem(sys.modules, 'mmdet.registry', None)
    status, out, err = run(detector.main, *QUICK)
    assert status == 1 and not out
    assert err.splitlines()[-1].startswith('error: detectors cannot be built here')
