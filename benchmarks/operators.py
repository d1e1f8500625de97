"""Show where a network's CPU time goes, by kind of operator, beside Swin-T.

    python benchmarks/operators.py [--size 224 512] [--repeats 8] [--help]

Each operator's time is that of its thread, the least over the repeats, so that other programs
disturb it little: with one thread alone.
"""

import time
from collections import Counter

import torch
from backbone import PASSES, check_sizes, import_networks
from options import make_parser, parse
from report import Report, machine, number, progress, ratio, table

from sparx_mm.errors import UserError, user_errors

TINY, REST = 'SparX-Mamba-T', 'views, Python, autograd'


def measure(step, repeats):
    """Measure a step's operators by kind, and the whole step.

    Args:
        step (Step): What is run.
        repeats (int): Number of steps to take.

    Returns:
        Counter: Milliseconds by kind; under ``REST`` those of the step outside of them.
    """
    from roofline_walk import walk

    step()
    wholes = []
    for _ in range(repeats):
        start = time.thread_time()
        step()
        wholes.append(time.thread_time() - start)
    steps = [walk(step, torch.float32, None, clock=time.thread_time) for _ in range(repeats)]
    measured = Counter()
    for same in zip(*steps, strict=True):
        measured[same[0].kind] += min(op.seconds for op in same) * 1e3
    measured[REST] = min(wholes) * 1e3 - measured.total()
    return measured


def rows(columns):
    """Write a row for each kind, the longest first, with the share of each column.

    Args:
        columns (Sequence[Counter]): Milliseconds by kind, of each network.
    """
    totals = [c.total() for c in columns]
    kinds = sorted(set().union(*columns), key=lambda kind: -columns[0][kind])
    cells = [
        [kind, *(f'{number(c[kind])}, {c[kind] / t:.0%}' for c, t in zip(columns, totals))]
        for kind in kinds
    ]
    return [*cells, ['**step**', *map(number, totals)]]


@user_errors()
def main():
    parser = make_parser("Show where a network's CPU time goes", False)
    parser.set_defaults(threads=1, repeats=8, device='cpu')
    args = parse(parser)
    check_sizes(args)
    if args.threads != 1 or args.device.type != 'cpu':
        raise UserError('the time of a thread is measured: leave out --threads and --device')
    networks = import_networks()
    built = {TINY: networks.build('tiny', args.device)}
    swin, why = networks.build_peer('tiny', networks.SWIN, args.device)
    if swin:
        built[networks.SWIN] = swin
    report = Report(args.output)
    report.add(
        f'{machine("Where the time goes", args)}{f" No Swin-T: {why}." if why else ""}\n\nCPU '
        f'milliseconds of each kind of operator, the least of {args.repeats} for each, and the '
        'share of the whole.'
    )
    for images in args.inputs:
        batch = torch.randn(images.batch, 3, images.height, images.width)
        for training, title in PASSES.items():
            columns = []
            for name, network in built.items():
                progress(f'{images}: {name}, {title}')
                step = networks.Step(network, batch, images.dtype, training)
                columns.append(measure(step, args.repeats))
            heading = f'## {images}, {title}'
            if len(columns) == 2:
                heading += f': {ratio(*(c.total() for c in columns))}'
            report.add(f'{heading}\n\n{table(["kind", *built], rows(columns))}')


if __name__ == '__main__':
    main()
