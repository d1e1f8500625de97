"""The table of compile times, whose ratios are to the first row."""

import torch


def test_the_table(run, monkeypatch):
    import compile as program

    results = {'whole': (100, 80, 200, 150), '--compile': (40, 30, 200, 160)}
    monkeypatch.setattr(program, 'measure_anew', lambda name, way, *args: results[way])
    monkeypatch.setattr(program, 'CASES', program.CASES[:2])
    status, out, err = run(program.main, '--repeats', 3, '--device', 'cpu')
    assert status == 0, err
    rows = [line for line in out.splitlines() if line.startswith('| SparX')]
    assert rows == 2 * [
        '| SparX-Mamba-T | whole | 100 | 80.0 | 1.00x | 200 | 150 | 0.75x |',
        '| SparX-Mamba-T | --compile | 40.0 | 30.0 | 0.40x | 200 | 160 | 0.80x |',
    ]


def test_a_gpu_is_refused(run, monkeypatch):
    import compile as program

    monkeypatch.setattr('options.find_device', lambda name: torch.device(name or 'cuda', 0))
    status, out, err = run(program.main, '--device', 'cuda')
    assert status == 1 and not out
    assert err == 'error: --device cuda:0: the time of a CPU is measured; leave it out\n'


def test_a_network_is_measured(small, monkeypatch):
    """With a way that compiles nothing."""
    import compile as program
    from options import make_parser, parse

    monkeypatch.setattr(
        'sys.argv', ['program', '--size', '48', '--repeats', '1', '--device', 'cpu']
    )
    args = parse(make_parser('', False))
    monkeypatch.setitem(program.WAYS, 'whole', lambda network: None)
    seconds, children, eager, compiled = program.measure(
        program.TINY, 'whole', args.inputs[0]._replace(batch=1), True, args
    )
    assert seconds >= children >= 0 and eager > 0 and compiled > 0
