"""What operators read, write and compute, counted by hand, and the bounds made of them."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from archs import PICO, PICO_VMAMBA

from sparx_mm import SparXMamba, VMamba
from sparx_mm.analysis import count_complexity
from sparx_mm.kernels import depthwise_conv, group_norm, layer_norm, ss2d

H100 = 132


def sizes(uses):
    return [size for _, size in uses]


def noted(function, processors=H100, dtype=torch.float32, **kwargs):
    """Walk through a function of no network."""
    from roofline_walk import walk

    return walk(function, dtype, processors, **kwargs)


def meta(*shape, dtype=torch.bfloat16, grad=False):
    return torch.empty(shape, dtype=dtype, device='meta', requires_grad=grad)


def test_a_convolution():
    x, weight, bias = meta(2, 8, 5, 6), meta(16, 8, 1, 1), meta(16)
    conv, add = noted(lambda: F.conv2d(x, weight, bias))
    assert (conv.kind, add.kind) == ('1x1 convolutions, linear layers', 'elementwise')
    assert sizes(conv.reads) == [2 * 2 * 8 * 30, 2 * 16 * 8, 2 * 16]
    assert sizes(conv.writes) == [2 * 2 * 16 * 30]
    assert conv.flops == 2 * 2 * 30 * 8 * 16 and conv.matrix
    # cuDNN's result is read and written again
    assert add.reads == [*conv.writes, conv.reads[2]] and add.writes == conv.writes
    # oneDNN adds the bias itself
    assert len(noted(lambda: F.conv2d(x, weight, bias), None)) == 1


def test_kinds_of_convolutions():
    def kind(shape, groups):
        x = meta(1, 12, 8, 8)
        (op,) = noted(lambda: F.conv2d(x, meta(*shape), groups=groups))
        return op.kind, op.matrix

    assert kind((12, 1, 3, 3), 12) == ('depthwise convolutions', False)
    assert kind((12, 4, 1, 1), 3) == ('grouped 1x1 convolutions', True)
    assert kind((6, 12, 3, 3), 1) == ('dense convolutions', True)


@pytest.mark.parametrize('groups', [1, 8])
def test_gradients_of_a_convolution(groups):
    x, weight = meta(2, 8, 5, 6, grad=True), meta(8, 8 // groups, 3, 3, grad=True)
    y = F.conv2d(x, weight, padding=1, groups=groups)
    (op,) = noted(lambda: torch.autograd.grad(y, (x, weight), torch.empty_like(y)))[-1:]
    assert op.flops == 2 * 2 * (2 * 8 * 30) * (8 // groups) * 9
    # the gradient of y is read for each of the two
    maps, weights = 2 * 2 * 8 * 30, 2 * weight.numel()
    assert sizes(op.reads) == [maps, maps, weights, maps]
    assert sizes(op.writes) == [maps, weights]


def test_copies_views_and_repeated_elements():
    x, narrow = meta(4, 6, dtype=torch.float32), meta(1, 6)
    assert noted(lambda: (x.view(24).unsqueeze(0), x.t(), torch.empty_like(x))) == []
    (copy,) = noted(lambda: x.t().contiguous())
    assert (copy.kind, sizes(copy.reads), sizes(copy.writes)) == ('copies', [96], [96])
    (add,) = noted(lambda: x + narrow.expand(4, 6))
    assert (add.kind, sizes(add.reads), sizes(add.writes)) == ('elementwise', [96, 12], [96])
    (cast,) = noted(lambda: narrow.float())
    assert (cast.kind, sizes(cast.reads), sizes(cast.writes)) == ('elementwise', [12], [24])
    (fill,) = noted(lambda: x.copy_(narrow))
    assert (sizes(fill.reads), sizes(fill.writes)) == ([12], [96])


def test_norms_read_twice_what_they_take_statistics_of():
    x, weight = meta(2, 8, 5, 6), meta(8)
    reads = [x.numel() * 2, 16, 16]
    (group,) = noted(lambda: F.group_norm(x, 1, weight, weight))
    assert sizes(group.reads) == [*reads, reads[0]]
    tokens = x.permute(0, 2, 3, 1)
    (layer,) = noted(lambda: F.layer_norm(tokens, (8,), weight, weight))
    assert sizes(layer.reads) == reads
    (batch,) = noted(lambda: F.batch_norm(x, weight, weight, weight, weight))
    assert batch.kind == 'elementwise' and len(batch.reads) == 5


@pytest.mark.parametrize(
    'operator,forward,backward',
    [
        (lambda x, w, b, _: group_norm(x, w, b, 2, 1e-5), [(1, 0), (1, 1)], [(2, 0), (2, 1)]),
        (lambda x, w, b, _: layer_norm(x, w, b, 1e-5), [(1, 1)], [(2, 1)]),
        (lambda x, w, b, k: depthwise_conv(x, k, b), [(1, 1)], [(2, 0), (1, 1)]),
        # what is activated is made again
        (
            lambda x, w, b, k: depthwise_conv(x, k, b, True, 'gelu'),
            [(1, 1)],
            [(2, 1), (2, 0), (1, 1)],
        ),
    ],
)
def test_maps_that_our_kernels_read_and_write(operator, forward, backward):
    x = meta(2, 8, 5, 6, grad=True).contiguous(memory_format=torch.channels_last)
    parameters = [meta(*s, dtype=torch.float32, grad=True) for s in ((8,), (8,), (8, 1, 3, 3))]
    inputs, made = [x, *parameters], []

    def step(y=None):
        if y is None:
            made.append(operator(*inputs))
        else:
            torch.autograd.grad(y, inputs, torch.empty_like(y), allow_unused=True)

    def moved(ops):
        counts = [(sizes(op.reads).count(960), sizes(op.writes).count(960)) for op in ops]
        return [count for count in counts if any(count)]

    # under autocast, which casts none of them
    ops = noted(step, dtype=torch.bfloat16)
    gradients = noted(lambda: step(made[0]), dtype=torch.bfloat16)
    assert (moved(ops), moved(gradients)) == (forward, backward)
    convolves = ops[0].kind == 'depthwise convolutions'
    assert {op.kind for op in ops} == ({ops[0].kind} if convolves else {'norms'})
    flops = 2 * 9 * 480 if convolves else 0
    assert [sum(op.flops for op in each) for each in (ops, gradients)] == [flops, 2 * flops]


def test_small_tensors_of_a_group_norm():
    x, weight = meta(2, 8, 5, 6).contiguous(memory_format=torch.channels_last), meta(8)
    weight = weight.float()
    moments, norm = noted(lambda: group_norm(x, weight, weight.clone(), 1, 1e-5))[1:]
    # two sums for each image, from one kernel to the other, and two statistics
    assert moments.writes == norm.reads[-1:] and sizes(moments.writes) == [2 * 2 * 4]
    assert sizes(norm.reads) == [960, 32, 32, 16] and sizes(norm.writes) == [16, 960]


def test_autocast_of_a_gpu():
    x, weight, seen = meta(1, 8, 4, 4, dtype=torch.float32), meta(8, 8, 1, 1), []

    def step():
        y = F.conv2d(x, weight)
        logits = x.flatten(2) @ x.flatten(2).transpose(1, 2)
        seen.extend([y, F.group_norm(y, 1), y.flatten(2) @ y.flatten(2).transpose(1, 2), logits])

    noted(step, dtype=torch.bfloat16)
    names = [str(t.dtype)[6:] for t in seen]
    assert names == ['bfloat16', 'float32', 'bfloat16', 'float32']


def test_convolutions_keep_channels_last():
    x, weight = meta(2, 8, 5, 6, grad=True), meta(8, 8, 3, 3, grad=True)
    found = []

    def step(x):
        y = F.conv2d(x, weight, padding=1)
        found.extend([y, torch.autograd.grad(y, x, torch.empty_like(y))[0]])

    noted(lambda: step(x))
    noted(lambda: step(x.contiguous(memory_format=torch.channels_last)))
    assert [t.is_contiguous() for t in found] == [True, True, False, False]
    assert all(t.is_contiguous(memory_format=torch.channels_last) for t in found[2:])


def scan_arguments(batch, dim, side, memory_format):
    x = meta(batch, dim, side, side).contiguous(memory_format=memory_format)
    parameters = ((4, dim, 2), (4, dim), (4, dim, 1), (4, dim))
    parameters = [meta(*shape, dtype=torch.float32) for shape in parameters]
    return [x, meta(batch, side, side, 4, 4), *parameters]


def test_bytes_of_a_scan():
    # enough images for one program to sum over all four directions
    inputs = scan_arguments(2200, 128, 8, torch.channels_last)
    maps = 2 * 2200 * 128 * 64
    (once,) = noted(lambda: ss2d(*inputs), ideal=True)
    states = maps // 2
    assert sizes(once.writes) == [maps, states]
    assert sum(sizes(once.reads)) == maps + 2 * 2200 * 64 * 16 + 4 * 4 * 128 * 5
    assert once.instructions == 64 * 4 * 2200 * 128 * 64
    (op,) = noted(lambda: ss2d(*inputs))
    # three float32 sums of directions are written and read again; x is read four times
    assert sum(sizes(op.writes)) - sum(sizes(once.writes)) == 3 * 2 * maps
    assert sum(sizes(op.reads)) - sum(sizes(once.reads)) == 3 * maps + 3 * 2 * maps
    # a single image is split by direction: four sums, and a merge of them
    inputs = scan_arguments(1, 128, 8, torch.channels_last)
    scan, merge = noted(lambda: ss2d(*inputs))
    maps = 2 * 128 * 64
    assert sizes(scan.writes) == [4 * 2 * maps, maps // 2]
    assert (sizes(merge.reads), sizes(merge.writes)) == ([4 * 2 * maps], [maps])


def test_layout_copies_of_a_scan():
    from roofline_forms import without_layout_copies

    inputs = scan_arguments(1, 128, 8, torch.contiguous_format)
    ops = noted(lambda: ss2d(*inputs))
    assert [op.kind for op in ops] == ['layout copies', 'scan', 'scan', 'layout copies']
    assert ops[1].reads[0] == ops[0].writes[0] and ops[3].reads == ops[2].writes
    rest = without_layout_copies(ops)
    assert len(rest) == 2 and rest[0].reads[0][0] == ops[0].reads[0][0]


def test_fusion_by_hand():
    from roofline_forms import fuse_elementwise

    x, weight = meta(2, 8, 5, 6), meta(8, 8, 1, 1)

    def step():
        y = F.conv2d(x, weight)
        z = F.gelu(y)
        return F.conv2d(F.silu(z) + z, weight) + y

    first, second = fuse_elementwise(noted(step))
    maps, weights = 2 * x.numel(), 2 * 64
    # y is read by both groups, z by the first alone
    assert sizes(first.reads) == [maps, weights] and sizes(first.writes) == [maps, maps]
    assert sizes(second.reads) == [maps, weights, maps] and sizes(second.writes) == [maps]
    assert first.kind == second.kind == '1x1 convolutions, linear layers'


def test_the_bound_of_an_operator():
    from roofline_devices import Device
    from roofline_forms import bound
    from roofline_walk import Op

    gpu = Device('', bandwidth=10, matrix=1000, float32=100, cache=50, launch=1)
    cpu = gpu._replace(rates=((50, 40), (100, 20)))
    a, b = object(), object()
    ops = [
        Op('norms', [(a, 40)], [(b, 40)]),
        # a was used 40 bytes before, and what is cached costs nothing on a GPU
        Op('scan', [(a, 40)], [], instructions=500),
        Op('elementwise', [(b, 40)], []),
    ]
    assert bound(ops, gpu) == dict(norms=8, scan=10, elementwise=4, launches=3)
    assert bound(ops, cpu) == dict(norms=4 + 1, scan=10, elementwise=2, launches=3)
    work = [Op('scan', [], [], 5000), Op('norms', [], [], 5000, True)]
    assert bound(work, gpu) == dict(scan=50, norms=5, launches=2)


@pytest.fixture
def pico(monkeypatch):
    """Return the programs' modules, with small networks as the tiny ones."""
    import networks

    monkeypatch.setitem(SparXMamba.arch_zoo, 'tiny', PICO)
    monkeypatch.setitem(VMamba.arch_zoo, 'tiny', dict(PICO_VMAMBA, depths=(1, 1, 1, 1)))
    monkeypatch.setattr(networks, 'build_peer', lambda *args: (None, 'it is not here'))
    return networks


def test_multiply_adds_are_those_of_the_analysis():
    import networks
    from options import Input
    from roofline import _count
    from roofline_devices import GPUS

    cpu = torch.device('cpu')
    known = {
        networks.build('tiny', cpu): 5.2e9,
        networks.build_peer('tiny', networks.SWIN, cpu)[0]: 4.5e9,
    }
    for network, macs in known.items():
        images = Input(224, 224, 1, torch.float32)
        ops = _count(networks, network, images, False, GPUS['h100'])
        counted = sum(op.flops for op in ops) / 2
        assert counted == pytest.approx(macs, rel=0.02)
        plain = count_complexity(network, (224, 224), 'plain').total().macs
        # which has the scaled shortcuts too
        assert counted == pytest.approx(plain, rel=2e-3)


def test_bounds_of_forms_passes_sizes_and_devices_are_in_order(pico):
    from functools import partial

    from options import Input
    from roofline import _count, _forms
    from roofline_devices import GPUS
    from roofline_forms import bound

    network = pico.build('tiny', torch.device('cpu'))

    def count(side, training=False, **kwargs):
        images = Input(side, side, 64, torch.bfloat16)
        return _count(pico, network, images, training, GPUS['h100'], **kwargs)

    def time(ops, device=GPUS['h100']):
        return sum(bound(ops, device).values())

    _, was, last, own, fused = forms = list(_forms(partial(count, 224)).values())
    assert time(was) > time(last) > time(own)
    assert time(own) > max(time(fused), time(count(224, ideal=True)))
    assert time(own) < time(count(256)) and time(own) < time(count(224, True))
    for slower in (GPUS['h100']._replace(bandwidth=1e12), GPUS['a100']):
        assert all(time(ops) < time(ops, slower) for ops in forms)


@pytest.mark.parametrize('family', ['SparXMamba', 'VMamba'])
@pytest.mark.parametrize('training', [False, True])
def test_our_kernels_multiply_as_much_as_torchs(pico, family, training):
    from options import Input
    from roofline import _count
    from roofline_devices import GPUS

    network = pico.build('tiny', torch.device('cpu'), family)
    images = Input(34, 34, 2, torch.bfloat16)
    ours, others = (
        _count(pico, network, images, training, GPUS['h100'], ours=ours) for ours in (True, False)
    )
    assert sum(op.flops for op in ours) == sum(op.flops for op in others) > 0
    moved = [sum(size for op in ops for _, size in op.reads + op.writes) for ops in (ours, others)]
    assert moved[0] < moved[1]


def test_a_channels_last_network_has_no_layout_copies(pico):
    from options import Input
    from roofline import _count
    from roofline_devices import GPUS

    network = pico.build('tiny', torch.device('cpu'), 'VMamba')
    ops = _count(pico, network, Input(64, 64, 2, torch.bfloat16), True, GPUS['h100'])
    assert {'scan', 'norms'} < {op.kind for op in ops} and 'layout copies' not in {
        op.kind for op in ops
    }


def test_a_cpu_is_counted_as_it_runs(pico):
    from options import Input
    from roofline import _count
    from roofline_devices import Device
    from roofline_walk import walk

    def by_kind(ops):
        flops = Counter()
        for op in ops:
            flops[op.kind] += op.flops
        return flops

    network = pico.build('tiny', torch.device('cpu'))
    cpu = Device('', 1, 1, 1, 0, 0, rates=((0, 1),))
    on_paper = _count(pico, network, Input(48, 48, 1, torch.float32), False, cpu)
    step = pico.Step(network, torch.randn(1, 3, 48, 48), torch.float32, False)
    run = walk(step, torch.float32, None)
    assert all(op.seconds > 0 for op in run)
    assert by_kind(on_paper) == by_kind(run)
    # not equal, because shapes alone do not tell the layout of every copy
    assert len(on_paper) == pytest.approx(len(run), rel=0.05)


def test_table_of_gpus_is_complete():
    from roofline_devices import GPUS

    assert set(GPUS) == {'h100', 'h200', 'a100', '4090'}
    for gpu in GPUS.values():
        assert gpu.name.endswith((' (data sheet)', ' (Ada white paper)')) and not gpu.rates
        assert all(value > 0 for value in gpu[1:7])
        assert gpu.matrix > gpu.float32 > gpu.bandwidth > gpu.cache > gpu.processors


def test_this_cpu_is_measured(monkeypatch):
    import roofline_devices

    # sizes of 1 to 512 KiB
    monkeypatch.setattr(roofline_devices, '_MIB', 1024)
    monkeypatch.setattr(roofline_devices, '_REPEATS', 2)
    device = roofline_devices.measure_cpu()
    assert all(value > 0 for value in (*device[1:4], device.launch)) and device.processors is None
    assert [size // 1024 for size, _ in device.rates] == [2**n for n in range(10)]
    assert device.bandwidth == device.rates[-1][1]


def rows(text):
    return [line[2:-2].split(' | ') for line in text.splitlines() if line.startswith('| ')]


def test_the_program_on_paper(pico, run, monkeypatch, tmp_path):
    import roofline

    file = tmp_path / 'h100.md'
    monkeypatch.setattr(roofline, 'PASSES', {False: 'inference'})
    args = ('--device', 'h100', '--size', '224', '--batch', '64', '--output', file)
    status, out, err = run(roofline.main, *args)
    assert status == 0, err
    assert file.read_text().strip() == out.strip()
    assert '224x224, batch 64, bfloat16, inference' in out
    assert 'Not measured: mmdet Swin-T, it is not here.' in out
    table = rows(out)
    (head, *_), sums = table, [row for row in table if row[0] == '**sum**']
    forms = ['unfused', 'as it was', 'channels-last', 'as it is', 'and fused']
    assert head == ['ms', *forms, 'VMamba-T']
    ((_, *times),) = sums
    assert all(float(ms) > 0 for ms in times)
    (title, _, *levers) = [row for row in table if len(row) == 3]
    assert title == ['lever', 'saves, ms', 'of as it is']
    saved = {name: float(ms) for name, ms, _ in levers}
    assert saved['elementwise operators fused'] == pytest.approx(
        float(times[3]) - float(times[4]), abs=0.02
    )
    done = [name for name in saved if name.startswith('done: ')]
    assert len(done) == 3 and list(saved)[:3] == done
    left = {name: ms for name, ms in saved.items() if name not in done}
    assert max(left, key=left.get) == 'all of these' and left['all of these'] < float(times[3])


def test_the_program_calibrated(pico, run, monkeypatch):
    import roofline
    from roofline_devices import Device

    device = Device('this one', 1e10, 1e11, 1e11, 0, 1e-6, rates=((1 << 20, 2e10),))
    monkeypatch.setattr(roofline, 'measure_cpu', lambda: device)
    monkeypatch.setattr(roofline, 'PASSES', {False: 'inference'})
    args = ('--device', 'cpu', '--calibrate', '--size', '48', '--repeats', '2', '--threads', '1')
    status, out, err = run(roofline.main, *args)
    assert status == 0, err
    table = rows(out)
    assert ['predicted / measured ms', 'SparX-Mamba-T', 'VMamba-T'] in table
    whole = [row for row in table if row[0] == 'whole step']
    assert len(whole) == 1
    for cell in (cell for row in whole for cell in row[1:]):
        predicted, measured = cell.split(', ')[0].split(' / ')
        assert 0 < float(predicted) and 0 < float(measured)
    scan = next(row for row in table if row[0] == 'scan' and '/' in row[1])
    assert float(scan[1].split(' / ')[1].split(',')[0]) > 0
    last = out.strip().splitlines()[-1]
    assert last.startswith('Predicted over measured, whole steps: ') and 'norms 0.' in last


def test_kernels_cannot_be_chosen(run, monkeypatch):
    import roofline

    monkeypatch.setenv('SPARX_MM_KERNELS', 'torch')
    status, out, err = run(roofline.main, '--device', 'cpu')
    assert status == 1 and not out
    assert err == 'error: SPARX_MM_KERNELS chooses kernels, and shapes run none: unset it\n'


@pytest.mark.parametrize(
    'args,message',
    [
        (['--device', 'v100'], "'v100' (choose from "),
        ([], 'required: --device'),
        (['--device', 'h100', '--calibrate'], 'take --device cpu, not h100'),
        (['--device', 'cpu', '--calibrate', '--dtype', 'bfloat16'], 'leave out --dtype'),
    ],
)
def test_mistakes_end_in_one_line(run, args, message):
    import roofline

    status, out, err = run(roofline.main, *args)
    (line,) = err.splitlines()
    assert status in (1, 2) and not out
    assert line.startswith('error: ') and message in line
