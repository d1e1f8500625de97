"""The programs: what they print, what they refuse, how mistakes end."""

import math
import re
import sys
from types import SimpleNamespace

import pytest
import torch
from detection import ROOT
from without import run_without

from sparx_mm import SparXMamba
from sparx_mm.kernels import ss2d

DEVICES = [
    'cpu',
    pytest.param(
        'cuda', marks=pytest.mark.skipif(not torch.cuda.is_available(), reason='there is no GPU')
    ),
]
# small stages of small maps
QUICK = ('--size', '34', '--batch', '1', '--repeats', '1', '--threads', '1')


@pytest.fixture
def scan(monkeypatch):
    """Return the program, on a network of few channels."""
    import scan

    monkeypatch.setattr(scan, 'EMBED_DIMS', (8, 8, 16, 16))
    monkeypatch.setattr(scan, 'SIDES', (4, 8))
    monkeypatch.setattr(scan, 'copy_bandwidth', lambda device: 1e9)
    return scan


def rows(text):
    """List the cells of all tables in a text, without headings."""
    lines = [s[2:-2] for s in text.splitlines() if s.startswith('| ')]
    table = [line.split(' | ') for line in lines]
    return [
        row for row, below in zip(table, table[1:] + [['']]) if row[0] != '-' and below[0] != '-'
    ]


@pytest.mark.parametrize('device', DEVICES)
def test_scan(scan, run, tmp_path, device):
    file = tmp_path / 'results/scan.md'
    status, out, err = run(
        scan.main,
        '--device',
        device,
        *QUICK,
        '--dtype',
        'float32',
        '--peers',
        'unfused',
        'loop',
        '--output',
        file,
    )
    assert status == 0, err
    assert file.read_text().strip() == out.strip()
    assert 'float32: scan of (1, 8, 9, 9)' in err
    assert f'torch {torch.__version__}' in out and 'revision ' in out
    cells = rows(out)
    # 4 stages and their sum, 2 passes, 3 forms; 2 sides, 2 passes; of orders 2 numbers of
    # states, 4 stages, 2 passes, 4 forms
    assert len(cells) == 5 * 2 * 3 + 2 * 2 + 2 * 4 * 2 * 4
    assert [row[2] for row in cells[-4:]] == ['diagonal', 'snake', 'cross', 'permuted']
    assert [row[2] for row in cells[:3]] == ['ss2d', 'unfused', 'loop']
    assert all(float(row[3]) > 0 for row in cells[:30])
    # peak memory; of the sum of the stages there is none
    assert all(float(row[7]) > 0 and len(row) == 10 for row in cells[:24])


def test_all_orders_are_checked_with_each_number_of_states(scan, monkeypatch):
    from agreement import Disagreement
    from options import Input
    from peers import Form

    def wrong(x, dt_B_C, weight, bias, A, D):
        return ss2d(x, dt_B_C, weight, bias, A, D) * (1 if A.shape[2] == 1 else 1.1)

    monkeypatch.setitem(scan.ORDER_FORMS, 'cross', Form(wrong))
    monkeypatch.setattr(scan, 'time_forms', lambda *args: {})
    args = SimpleNamespace(device=torch.device('cpu'), repeats=1)
    with pytest.raises(Disagreement, match='cross with 16 channels in float32: off by'):
        scan.orders_table(Input(34, 34, 1, torch.float32), args, 1e9)


def wrong_gradient(*inputs):
    y = ss2d(*inputs)
    # as large as y and its gradient not
    return y.detach() + 1.1 * (y - y.detach())


def not_a_number(x, *others):
    y = ss2d(x, *others)
    return torch.where(torch.arange(y.shape[-1]) == 0, math.nan, y)


def wrong_when_large(x, *others):
    """Right on the small map, which has a batch of 2."""
    return ss2d(x, *others) * (1 if len(x) == 2 else 1.01)


@pytest.mark.parametrize('form', [wrong_gradient, not_a_number, wrong_when_large])
@pytest.mark.parametrize('program', ['scan', 'backbone'])
def test_nothing_is_timed_where_forms_disagree(run, monkeypatch, form, program, request, tmp_path):
    from peers import FORMS, Form

    main = request.getfixturevalue(program).main
    monkeypatch.setitem(FORMS, 'two_level', Form(form))
    file = tmp_path / 'kept.md'
    file.write_text('an earlier run')
    status, out, err = run(
        main, '--device', 'cpu', *QUICK, '--peers', 'two_level', '--output', file
    )
    assert status == 1
    assert file.read_text() in ('an earlier run', out.strip() + '\n')
    assert err.splitlines()[-1].startswith('error: two_level ')
    assert 'off by ' in err and 'Traceback' not in err
    assert not rows(out)


def test_out_of_memory_is_a_cell(scan, run, monkeypatch):
    from peers import FORMS, Form

    def too_large(x, *others):
        if len(x) == 1:
            raise torch.OutOfMemoryError
        return ss2d(x, *others)

    monkeypatch.setitem(FORMS, 'unfused', Form(too_large))
    status, out, err = run(
        scan.main, '--device', 'cpu', *QUICK, '--only', 'stages', '--peers', 'unfused'
    )
    assert status == 0, err
    cells = [row for row in rows(out) if row[2] == 'unfused']
    # nor is it in the sum over the stages
    assert len(cells) == 4 * 2
    assert all(row[3] == 'out of memory' and not any(row[4:]) for row in cells)


def test_sizes_are_those_of_the_tiny_model():
    import scan

    arch = SparXMamba.arch_zoo['tiny']
    assert (scan.EMBED_DIMS, scan.DEPTHS) == (arch['embed_dims'], arch['depths'])


def test_time_against_length(scan, monkeypatch):
    from measure import Sample
    from options import parse

    times = (1, 2, 4, 9, 17.6, 39.7)
    monkeypatch.setattr(scan, 'SIDES', (14, 28, 56))
    monkeypatch.setattr(
        scan,
        'compare',
        lambda calls, *args: {name: Sample(time, time) for name, time in zip(calls, times)},
    )
    monkeypatch.setattr('sys.argv', ['scan', '--device', 'cpu'])
    args = parse(scan.make_parser('of a test'))
    cells = rows(scan.length_table(torch.float32, args))
    assert [row[4:] for row in cells] == [
        ['', ''],
        ['', ''],
        ['4.00', ''],
        ['4.50', ''],
        ['4.40', 'yes'],
        ['4.41', 'no'],
    ]


def test_bytes_of_a_fused_form():
    from scan import fused_bytes
    from scan_forms import make_inputs

    inputs, dy = make_inputs(2, 32, 5, 6, torch.float16, torch.device('cpu'))
    # of a map of 64 channels and of its projection at rank 2, 16 bits
    x, dt_B_C = 2 * 2 * 64 * 30, 2 * 2 * 30 * 4 * 4
    parameters = 4 * 4 * 64 * (2 + 1 + 1 + 1)
    forward = 2 * x + dt_B_C + parameters
    assert fused_bytes(inputs, dy, False) == forward
    assert fused_bytes(inputs, dy, True) == forward + 3 * x + 2 * dt_B_C + 2 * parameters


@pytest.fixture
def backbone(small):
    """Return the program, with a small network as the tiny one."""
    import backbone

    return backbone


@pytest.mark.stack
@pytest.mark.parametrize('device', DEVICES)
def test_backbone(backbone, run, device):
    status, out, err = run(
        backbone.main,
        '--device',
        device,
        *QUICK,
        '--dtype',
        'float32',
        'bfloat16',
        '--arch',
        'tiny',
        '--peers',
        'two_level',
        'unfused',
    )
    assert status == 0, err
    forms = ['ss2d', 'two_level', 'unfused', 'mmdet Swin-T']
    assert [row[2] for row in rows(out)] == 4 * forms
    assert all(float(row[5]) > 0 for row in rows(out))


@pytest.mark.stack
@pytest.mark.parametrize('device', DEVICES)
def test_family(backbone, run, device):
    import family

    status, out, err = run(family.main, '--device', device, *QUICK, '--dtype', 'float32')
    assert status == 0, err
    cells = rows(out)
    assert [row[0] for row in cells] == 2 * [
        'SparXMamba tiny',
        'SparXMamba tiny-ssm',
        'SparXMamba tiny-bissm',
        'SparXSwin tiny',
        'VMamba tiny',
        'VSSD tiny',
        'GroupMamba tiny',
        'PlainMamba l2',
        'mmdet Swin-T',
        'mmpretrain ConvNeXt-T',
    ]
    # time, memory and its ratios
    assert all(float(row[2]) > 0 and float(row[5]) > 0 for row in cells)
    assert [row[-2:] for row in cells if row[0] == 'mmdet Swin-T'] == 2 * [['1.00x', '1.00x']]
    assert err.count('comparison with float64') == 8


def sweeps(out):
    """Return the rows of the tables of all inputs: images/s and peak MiB of each pass."""
    return rows(out[out.index(', all\n') :])


@pytest.mark.stack
def test_any_networks_over_sizes_and_batches(backbone, run, tmp_path):
    import family

    path = tmp_path / 'new' / 'plot.svg'
    names = ('mmpretrain ConvNeXt-T', 'VMamba tiny', 'mmdet Swin-T')
    options = ('--device', 'cpu', '--repeats', '1', '--threads', '1', '--plot', path)
    options = (*options, '--networks', *names, '--batch', '2', '3')
    status, out, err = run(family.main, *options, '--size', '32', '48')
    assert status == 0, err
    assert 'The ratios are over mmdet Swin-T.' in out
    cells = rows(out[: out.index(', all\n')])
    assert [row[0] for row in cells] == 8 * list(names)
    # not over the peer that comes first
    assert [row[-2] for row in cells[2::3]] == 8 * ['1.00x']
    inputs = [f'{n}x{n}, batch {b}, float32' for n in (32, 48) for b in (2, 3)]
    assert [row[0] for row in sweeps(out)] == 4 * inputs
    assert all(float(cell) > 0 for row in sweeps(out) for cell in row[1:])
    # once in the legend of all panels
    text = path.read_text()
    for name in names:
        assert all(text.count(f'<!-- {name}, batch {b}, float32 -->') == 1 for b in (2, 3))
    assert text.count('side of the image -->') == 4
    status, out, err = run(family.main, *options, '--size', '32')
    assert status == 0, err
    assert path.read_text().count('<!-- batch -->') == 4


@pytest.mark.tries('memory that does not suffice')
@pytest.mark.stack
def test_out_of_memory_is_in_the_cell(backbone, run, monkeypatch, tmp_path):
    """Of a batch, of a network that takes more than another, and in both tables."""
    import family
    import networks

    class Step(networks.Step):
        def __init__(self, network, images, *args):
            if len(images) == 3 and type(network).__name__ == 'VMamba':
                torch.empty(1 << 50)
            super().__init__(network, images, *args)

    monkeypatch.setattr(networks, 'Step', Step)
    options = ('--device', 'cpu', *QUICK, '--plot', tmp_path / 'plot.png')
    options = (*options, '--networks', 'VMamba tiny', 'mmdet Swin-T')
    status, out, err = run(family.main, *options, '--batch', '2', '3', str(1 << 40))
    assert status == 0, err
    found = [[cell == 'out of memory' for cell in row[1:]] for row in sweeps(out)]
    assert found == 4 * [[False, False], [True, False], [True, True]]
    cells = [row for row in rows(out) if row[0] == 'VMamba tiny']
    assert [row[2] == 'out of memory' for row in cells] == 2 * [False] + 4 * [True]


def test_a_cpu_refuses_more_than_its_free_memory(monkeypatch):
    import measure

    def take():
        return measure.out_of_memory_as_none(lambda: torch.empty(1 << 30))

    assert 0 < measure.free_memory() < 1 << 50
    # of bytes, and 4 GiB are asked for
    monkeypatch.setattr(measure, 'free_memory', lambda: 2 << 30)
    with measure.memory_limit(torch.device('cpu')):
        assert take() is None
    assert take() is not None
    with pytest.raises(RuntimeError, match='other'):
        measure.out_of_memory_as_none(lambda: (_ for _ in ()).throw(RuntimeError('other')))


@pytest.mark.parametrize(
    'args,message',
    [
        (['--networks', 'VMamba huge'], "no network 'VMamba huge'; there are "),
        (['--networks', 'VMamba tiny', '--arch', 'tiny'], 'leave --arch out'),
        (['--arch', 'tiny', 'base', '--plot', 'a.png'], 'one --arch, got tiny base'),
        (['--batch', '1', '0'], "'0' is not 1, 2, 3"),
        (['--plot', 'a.tables'], '--plot a.tables: the name must end in one of .'),
        (['--plot', '/dev/null/a.png'], '--plot /dev/null/a.png cannot be written ('),
    ],
)
def test_mistakes_in_the_choice_of_networks(backbone, run, args, message):
    import family

    status, out, err = run(family.main, '--device', 'cpu', '--size', '48', *args)
    (line,) = err.splitlines()
    assert status in (1, 2) and not out
    assert line.startswith('error: ') and message in line


@pytest.mark.stack
def test_family_without_other_libraries(backbone, monkeypatch, run):
    import family

    monkeypatch.setattr(family, 'NETWORKS', {'tiny': (('SparXMamba', 'tiny'),)})
    for library in ('mmdet', 'mmpretrain'):
        monkeypatch.setitem(sys.modules, f'{library}.models', None)
    status, out, err = run(family.main, '--device', 'cpu', *QUICK)
    assert status == 0, err
    assert 'mmdet does not import' in out and 'are over SparXMamba tiny' in out
    assert [(row[0], row[-1]) for row in rows(out)] == 2 * [('SparXMamba tiny', '1.00x')]


@pytest.fixture
def parts(monkeypatch):
    """Return the program, on two stages of few channels."""
    import parts

    monkeypatch.setattr(parts, 'EMBED_DIMS', (8, 16))
    monkeypatch.setattr(parts, 'copy_bandwidth', lambda device: 1e9)
    return parts


@pytest.mark.parametrize('device', DEVICES)
def test_parts(parts, run, device):
    status, out, err = run(parts.main, '--device', device, *QUICK, '--dtype', 'float32', 'bfloat16')
    assert status == 0, err
    cells = rows(out)
    # 2 stages, 2 passes, 6 parts of 3 forms; in 16 bits 3 norms as autocast runs them, too
    assert len(cells) == 2 * 2 * (18 + 21)
    assert [row[2] for row in cells[:3]] == ['ours', 'torch, channels-last', 'torch, contiguous']
    assert all(float(row[3]) > 0 for row in cells)
    assert 'GELU of x + 3x3 on (1, 64, 5, 5)' in err


def test_a_part_that_disagrees_is_not_timed(parts, monkeypatch, run):
    wrong = parts.PARTS['layer norm']._replace(plain=parts.PARTS['group norm of a layer'].plain)
    monkeypatch.setitem(parts.PARTS, 'layer norm', wrong)
    status, out, err = run(parts.main, '--device', 'cpu', *QUICK)
    assert status == 1 and '|' not in out
    assert 'torch, channels-last: layer norm on' in err.splitlines()[-1]


@pytest.mark.stack
def test_operators(small, run):
    import operators

    status, out, err = run(operators.main, '--size', '48', '--repeats', '1')
    assert status == 0, err
    for name, table in zip(('inference', 'training step'), out.split('## ')[1:], strict=True):
        assert name in table.splitlines()[0]
        times = {row[0]: [float(cell.split(',')[0]) for cell in row[1:]] for row in rows(table)}
        totals = times.pop('**step**')
        assert times['scan'][0] > 0 == times['scan'][1]
        for total, column in zip(totals, zip(*times.values())):
            # each is rounded to three digits
            assert sum(column) == pytest.approx(total, rel=0.02)


def test_operators_of_several_threads(run):
    import operators

    status, out, err = run(operators.main, '--threads', '2')
    assert status == 1 and not out
    assert err.splitlines()[-1].endswith('leave out --threads and --device')


def test_vmamba_beside_the_released_way(small, run):
    import backbone

    options = ('--backbone', 'VMamba', '--peers', 'sequential')
    status, out, err = run(backbone.main, '--device', 'cpu', *QUICK, *options)
    assert status == 0, err
    assert [row[2] for row in rows(out)][:2] == ['ss2d', 'sequential']


def test_family_has_no_peers(backbone, run):
    import family

    status, out, err = run(family.main, '--peers', 'loop')
    assert status == 2 and not out
    assert err.splitlines()[-1].startswith('error: unrecognized arguments')


def test_a_network_that_disagrees_is_not_timed(backbone, monkeypatch, run):
    import family

    monkeypatch.setattr(family, 'NETWORKS', {'tiny': (('SparXMamba', 'tiny'),)})
    monkeypatch.setattr(family, 'ss2d', wrong_gradient)
    status, out, err = run(family.main, '--device', 'cpu', *QUICK)
    assert status == 1 and '|' not in out
    assert 'gradients' in err.splitlines()[-1]


def test_every_layer_scans_by_the_form(backbone):
    import networks

    shapes = []

    def form(x, *others):
        shapes.append(x.shape[1])
        return ss2d(x, *others)

    network = networks.build('tiny', torch.device('cpu'))
    images = torch.rand(1, 3, 33, 47)
    networks.Step(network, images, torch.float32, False)(form)
    assert shapes == [32] + [48] * 2 + [64] * 3 + [80] * 2
    # and by our own again
    network(images)
    assert len(shapes) == 8


def test_calls_do_not_change_the_network(backbone):
    import networks

    network = networks.build('tiny', torch.device('cpu'))
    images = torch.rand(2, 3, 32, 32)
    before, _ = networks.Step(network, images, torch.float32, False)()
    step = networks.Step(network, images, torch.float32, True)
    results = [step() for _ in range(2)]
    after, none = networks.Step(network, images, torch.float32, False)()
    assert none == []
    for maps, gradients in results:
        assert len(maps) == 4
        assert len(gradients) == len(list(network.parameters()))
    flat = [[*maps, *gradients] for maps, gradients in results]
    for pair in (flat, (before, after)):
        assert all(torch.equal(a, b) for a, b in zip(*pair, strict=True))


@pytest.mark.parametrize('program', ['scan', 'backbone'])
@pytest.mark.parametrize(
    'args,message',
    [
        (['--size', 'x224'], "'x224' is no size; write 224, or 800x1280"),
        (['--size', '0'], "'0' is no size"),
        (['--batch', '0'], "'0' is not 1, 2, 3"),
        (['--repeats', 'a'], "'a' is not 1, 2, 3"),
        (['--dtype', 'half'], "invalid choice: 'half'"),
        (['--peers', 'none'], "invalid choice: 'none'"),
        (['--device', 'tpu'], "--device must be cpu, cuda or cuda:N, got 'tpu'"),
        (['--device', 'meta'], '--device must be cpu, cuda or cuda:N'),
        (['--device', 'cuda:99'], '--device cuda:99: torch sees'),
        (
            ['--device', 'cpu', '--output', '/dev/null/x'],
            '--output /dev/null/x cannot be written (',
        ),
    ],
)
def test_mistakes_end_in_one_line(run, request, program, args, message):
    status, out, err = run(request.getfixturevalue(program).main, *args)
    assert status in (1, 2) and not out
    (line,) = err.splitlines()
    assert line.startswith('error: ') and message in line


def test_batch_norms_need_more_than_one_position(backbone, run):
    status, out, err = run(backbone.main, '--device', 'cpu', '--size', '32')
    (line,) = err.splitlines()
    assert status == 1 and not out
    assert 'take --batch 2, or a size of more than 32' in line


def test_what_the_programs_need(tmp_path):
    """The scan needs neither mmengine nor numba, and backbones say what they miss."""
    folder = str(ROOT / 'benchmarks')
    code = f"""
import sys
sys.path.insert(0, {folder!r})
import backbone, scan
sys.argv = ['scan', '--device', 'cpu', '--size', '16', '--repeats', '1', '--only', 'stages',
            '--threads', '1']
scan.EMBED_DIMS = (8, 8, 16, 16)
scan.copy_bandwidth = lambda device: 1e9
scan.main()
sys.argv = ['backbone', '--device', 'cpu']
backbone.main()
"""
    done = run_without(['mmengine', 'numba', 'triton'], code, tmp_path)
    assert done.returncode == 1, done.stderr
    assert 'triton none, numba none' in done.stdout and '# Backbones' not in done.stdout
    *_, line = done.stderr.splitlines()
    assert 'Traceback' not in done.stderr
    assert re.fullmatch(
        'error: backbones cannot be built here: .*mmengine.*type: pip install torch onedl-mmengine '
        'opencv-python-headless',
        line,
    )


def test_numbers():
    from report import number

    values = (0.01234, 1.234, 12.34, 123.4, 12345.6)
    assert [number(v) for v in values] == ['0.012', '1.23', '12.3', '123', '12346']


def test_calls_take_turns_and_slow_ones_fewer():
    from measure import Call, compare

    calls = []
    samples = compare(
        dict(a=Call(lambda: calls.append('a')), b=Call(lambda: calls.append('b'), repeats=1)),
        torch.device('cpu'),
        3,
    )
    # a warm-up of three, or of as many as are timed, then the turns
    assert ''.join(calls) == 'ab' + 'aa' + 'ab' + 'a' + 'a'
    assert all(s.minimum <= s.median for s in samples.values())


def test_peak_memory_on_a_cpu():
    from measure import Call, compare

    def run():
        first = torch.empty(1 << 18)
        second = torch.empty(2 << 18)
        del first
        return second, torch.empty(1 << 18)

    sample = compare(dict(a=Call(run, held=5)), torch.device('cpu'), 1)['a']
    assert sample.memory == (3 << 20) + 5


@pytest.mark.parametrize('name,repeats', [('operators', 8), ('detector', 5), ('family', 20)])
def test_help_names_the_own_default(name, repeats, run):
    status, out, err = run(__import__(name).main, '--help')
    assert status == 0 and f'timed calls of each; default: {repeats}\n' in out
