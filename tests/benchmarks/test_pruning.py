"""The table of token pruning: a row for each ratio and gap, whose first is the whole network."""

import pytest
import torch

from sparx_mm import PlainMamba


@pytest.fixture
def pruning(monkeypatch):
    import drawn_patches
    import pruning

    small = dict(embed_dims=8, stem=dict(num_convs=0, width=4))
    monkeypatch.setitem(PlainMamba.arch_zoo, 'l1', dict(small, num_layers=3))
    monkeypatch.setattr(pruning, 'LAYERS', (1,))
    monkeypatch.setattr(pruning, 'SMALL_LAYERS', (1,))
    arch = dict(small, num_layers=3, mixer=dict(d_state=2))
    monkeypatch.setattr(drawn_patches.PatchNamer.__init__, '__defaults__', (arch, None))
    monkeypatch.setattr(pruning, 'RATIOS', (1.0, 0.5))
    return pruning


def test_the_tables(pruning, run, tmp_path, monkeypatch):
    weights = tmp_path / 'new' / 'weights.pth'
    options = '--size', 64, '--repeats', 1, '--train', 8, '--steps', 2, '--weights', weights
    status, out, err = run(pruning.main, *options)
    assert status == 0, err
    assert 'step 2 of 2: loss' in err and weights.exists()
    rows = [line.strip('| ').split(' | ') for line in out.splitlines() if line.startswith('| ')]
    timed, judged = rows[2:5], rows[7:]
    assert [row[1:3] for row in timed[1:]] == [['0.5', 'decay'], ['0.5', 'copy']]
    # both gaps have the same tokens to compute, fewer than the whole
    assert timed[1][3:5] == timed[2][3:5] and float(timed[1][4][:-1]) < 1
    assert [row[:2] for row in judged[1:]] == [['0.5', gap] for gap in pruning.GAPS]
    # weights that are there are taken as they are
    before = torch.load(weights, weights_only=True)
    monkeypatch.setattr(pruning, 'time_rows', lambda *args: [[''] * 7])
    status, again, err = run(pruning.main, *options)
    assert status == 0 and 'step' not in err
    assert again.split('untuned')[1] == out.split('untuned')[1]
    after = torch.load(weights, weights_only=True)
    assert all(value.equal(after[name]) for name, value in before.items())


def test_weights_that_do_not_fit_end_in_one_line(pruning, run, tmp_path):
    weights = tmp_path / 'weights.pth'
    weights.write_bytes(b'damaged')
    for message in 'weights.pth', 'weights.pth is of another network':
        status, out, err = run(pruning.main, '--size', 64, '--train', 8, '--weights', weights)
        assert status and message in err.splitlines()[-1] and 'Traceback' not in err
        torch.save({'layer.weight': torch.ones(1)}, weights)


@pytest.mark.parametrize(
    'args,message',
    [
        (['--threads', 2], 'the time of a thread is measured'),
        (['--batch', 2], 'one image is timed, in float32: leave out --batch and --dtype'),
        (['--dtype', 'bfloat16'], 'one image is timed, in float32'),
        (['--steps', 0], "--steps: '0' is not 1, 2, 3"),
        (['--train', 4], '--train 4 are too few'),
    ],
)
def test_mistakes_end_in_one_line(pruning, run, args, message):
    status, out, err = run(pruning.main, *args)
    assert status and not out and message in err and len(err.splitlines()) == 1
