"""Time what torch.compile costs and saves: whole networks, and ours as --compile does it.

    python benchmarks/compile.py [--size 224] [--repeats 20] [--threads 1] [--help]

Each is compiled in a process of its own, into an empty cache. Maps and gradients are
compared with those of the same network before it is compiled. All times are the
processor's, which other programs disturb little.
"""

import multiprocessing
import os
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

import torch
from agreement import check, disagreement
from backbone import PASSES, check_sizes, import_networks
from options import make_parser, parse
from report import Report, machine, number, progress, ratio, table

from sparx_mm.errors import UserError, user_errors

TINY, SWIN = 'SparX-Mamba-T', 'mmdet Swin-T'
WAYS = {
    # torch's own method, because ours compiles layer by layer
    'whole': lambda network: torch.nn.Module.compile(network, dynamic=False),
    '--compile': lambda network: network.compile(dynamic=True),
}
CASES = ((TINY, 'whole'), (TINY, '--compile'), (SWIN, 'whole'))
COLUMNS = (
    'network',
    'way',
    'compile s',
    'in C++ s',
    'x compile',
    'eager ms',
    'compiled ms',
    'x eager',
)


def _cpu_seconds():
    """Return the seconds of this process, and of those that it has started and ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return [usage.ru_utime + usage.ru_stime for usage in usages]


def _least_milliseconds(step, repeats):
    """Return the CPU milliseconds of the fastest of some steps, after one more."""
    step()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        step()
        times.append(1e3 * (time.process_time() - start))
    return min(times)


def measure(name, way, images, training, args):
    """Compile a network in this process and time it before and after.

    Args:
        name (str): ``TINY`` or ``SWIN``.
        way (str): One of ``WAYS``.
        images (Input): Images that the network is given.
        training (bool): Take a training step, do not infer.
        args (Namespace): Command line.

    Returns:
        tuple: CPU seconds of the first compiled step, those of the C++ compiler among
        them, and the least CPU milliseconds of a step before and after.

    Raises:
        UserError: If the compiled network disagrees.
    """
    torch.set_num_threads(args.threads)
    networks = import_networks()
    network = (
        networks.build_peer('tiny', SWIN, args.device)[0]
        if name == SWIN
        else networks.build('tiny', args.device)
    )
    for module in network.modules():
        # no branch is dropped, so that all steps are the same
        if hasattr(module, 'drop_prob'):
            module.drop_prob = 0.0
    batch = torch.randn(images.batch, 3, images.height, images.width, device=args.device)
    step = networks.Step(network, batch, images.dtype, training)
    eager = _least_milliseconds(step, args.repeats)
    wanted = step()
    WAYS[way](network)
    before = _cpu_seconds()
    given = step()
    own, children = (after - then for after, then in zip(_cpu_seconds(), before))
    maps, each, part = networks.TOLERANCES[images.dtype]
    what = f'{name}, {way}, {images}'
    check(what, disagreement(given[0], wanted[0]), maps)
    if training:
        floor = part * max(g.abs().max().item() for g in wanted[1])
        check(f'{what}, gradients', disagreement(given[1], wanted[1], floor), each)
    return own + children, children, eager, _least_milliseconds(step, args.repeats)


def measure_anew(*args):
    """Call `measure` in a new process, with an empty cache and one compiler at a time."""
    with tempfile.TemporaryDirectory() as cache:
        settings = dict(TORCHINDUCTOR_CACHE_DIR=cache, TORCHINDUCTOR_COMPILE_THREADS='1')
        before = dict(os.environ)
        os.environ.update(settings)
        try:
            with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:
                return pool.submit(measure, *args).result()
        finally:
            os.environ.clear()
            os.environ.update(before)


def compile_rows(images, training, args, cases=CASES):
    """Measure all cases on one input, in one pass.

    Args:
        images (Input): Images that the networks are given.
        training (bool): Take a training step, do not infer.
        args (Namespace): Command line.
        cases (Sequence[tuple[str, str]]): Networks and ways; the first is what compile
            times are compared with.

    Returns:
        list[list[str]]: A row for each case.
    """
    rows, first = [], None
    for name, way in cases:
        start = time.perf_counter()
        seconds, children, eager, compiled = measure_anew(name, way, images, training, args)
        progress(f'{images}: {name}, {way} ({time.perf_counter() - start:.0f} s)')
        first = first or seconds
        cells = map(number, (seconds, children))
        times = map(number, (eager, compiled))
        rows.append([name, way, *cells, ratio(seconds, first), *times, ratio(compiled, eager)])
    return rows


@user_errors()
def main():
    parser = make_parser('Time what torch.compile costs and saves', False)
    parser.set_defaults(size=[(224, 224)], threads=1, dtype=['float32'], device='cpu')
    args = parse(parser)
    check_sizes(args)
    if args.device.type != 'cpu':
        raise UserError(f'--device {args.device}: the time of a CPU is measured; leave it out')
    report = Report(args.output)
    has_swin = import_networks().build_peer('tiny', SWIN, torch.device('cpu'))[0] is not None
    cases = [case for case in CASES if has_swin or case[0] != SWIN]
    report.add(
        f'{machine("torch.compile", args)}\n\nCPU seconds of the first compiled step, with an '
        'empty cache and one compiler at a time; CPU milliseconds of the fastest of '
        f'{args.repeats} steps. "x compile" is to the first row, "x eager" to the same network '
        'before it was compiled.'
    )
    for images in args.inputs:
        for training, title in PASSES.items():
            rows = compile_rows(images, training, args, cases)
            report.add(f'## {images}, {title}\n\n{table(COLUMNS, rows)}')


if __name__ == '__main__':
    main()
