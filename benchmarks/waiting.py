"""Time a training step by how OpenMP's threads wait, beside other programs and alone.

    python benchmarks/waiting.py [--size 224] [--repeats 20] [--threads 2] [--help]

OpenMP reads its settings when it is loaded, so that each is timed in a process of its
own. The other programs are processes that only count.
"""

import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from backbone import check_sizes, import_networks
from options import make_parser, parse
from report import Report, machine, number, progress, ratio, table

from sparx_mm.errors import UserError, user_errors

# variables of GNU OpenMP, by the name of the row
SETTINGS = {
    'default': {},
    'GOMP_SPINCOUNT=2000 (the tools)': dict(GOMP_SPINCOUNT='2000'),
    'OMP_WAIT_POLICY=passive': dict(OMP_WAIT_POLICY='passive'),
}
NAMES = ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'OMP_NUM_THREADS')
# numbers of other programs
OTHERS = (0, 1, 2)


def step_times(images, threads, repeats):
    """Time training steps of SparX-Mamba-T in this process, after three that are not counted.

    Args:
        images (Input): Images that the network is given.
        threads (list[int]): Numbers of threads.
        repeats (int): Number of steps with each.

    Returns:
        list[float]: Median of the milliseconds of a step for each number of threads.
    """
    networks = import_networks()
    network = networks.build('tiny', torch.device('cpu'))
    batch = torch.randn(images.batch, 3, images.height, images.width)
    step = networks.Step(network, batch, images.dtype, training=True)
    medians = []
    for number_of_threads in threads:
        torch.set_num_threads(number_of_threads)
        times = []
        for _ in range(3 + repeats):
            start = time.perf_counter()
            step()
            times.append((time.perf_counter() - start) * 1e3)
        medians.append(statistics.median(times[3:]))
    return medians


@contextmanager
def variables(settings):
    """Start processes with these settings of OpenMP, and no others, within this context."""
    before = {name: os.environ.pop(name) for name in NAMES if name in os.environ}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name in settings:
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def other_program():
    """Keep a core busy within this context."""
    process = subprocess.Popen([sys.executable, '-c', 'while True: pass'])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def call(settings, others, function, *args):
    """Call a function in a new process.

    Args:
        settings (dict[str, str]): Variables of OpenMP that the process has.
        others (int): Number of other programs that keep a core busy each.
        function (Callable): Function of a module.
        *args: Its arguments.

    Returns:
        object: Its result.
    """
    with ExitStack() as stack:
        stack.enter_context(variables(settings))
        pool = ProcessPoolExecutor(1, multiprocessing.get_context('spawn'))
        stack.enter_context(pool)
        for _ in range(others):
            stack.enter_context(other_program())
        return pool.submit(function, *args).result()


def waiting_rows(images, threads, repeats):
    """Time all settings, and compare each with the fastest of its column.

    Args:
        images (Input): Images that the network is given.
        threads (list[int]): Numbers of threads.
        repeats (int): Number of steps.

    Returns:
        list[list[str]]: A row for each number of threads and setting.
    """
    # (setting, others, threads)
    medians = []
    for name, settings in SETTINGS.items():
        progress(f'{images}: {name}')
        medians.append([call(settings, n, step_times, images, threads, repeats) for n in OTHERS])
    medians = np.array(medians)
    worst = (medians / medians.min(0)).max(1)
    return [
        [name, str(count), *map(number, medians[i, :, j]), ratio(worst[i, j], 1)]
        for j, count in enumerate(threads)
        for i, name in enumerate(SETTINGS)
    ]


@user_errors()
def main():
    parser = make_parser('Time a training step by how threads wait', False)
    parser.set_defaults(device='cpu', size=[(224, 224)])
    args = parse(parser)
    check_sizes(args)
    if args.device.type != 'cpu':
        raise UserError(f'--device {args.device}: OpenMP has threads on the CPU alone')
    report = Report(args.output)
    report.add(
        f'{machine("Waiting threads", args)}\n\nMedian of {args.repeats} steps in milliseconds, '
        'alone and beside programs that keep a core busy each; "x" is the worst of the ratios '
        'to the fastest setting, with as many threads and programs.'
    )
    columns = ['setting', 'threads', *(f'beside {n}' for n in OTHERS), 'x']
    for images in args.inputs:
        rows = waiting_rows(images, sorted({1, args.threads}), args.repeats)
        report.add(f'## SparX-Mamba-T, training step of {images}\n\n{table(columns, rows)}')


if __name__ == '__main__':
    main()
