"""Time the four-direction scan at the stages of SparX-Mamba-T.

From x and dt_B_C to y: step projection, four directions, scan and merge. The
low-rank projection that makes dt_B_C is the same for all forms and not included.

    python benchmarks/scan.py [--device cpu] [--size 224 800x1280] [--help]

GB/s is by the bytes that a fused form must move, whatever the form: forward
reads x, dt_B_C and the parameters and writes y; backward reads them and the
gradient of y, and writes a gradient for each of them. With E elements of x, P
of dt_B_C and s bytes an element, that is s (2E + P) and s (3E + 2P), and the
parameters.
"""

import functools

from agreement import check, disagreement, evaluate
from measure import Call, Sample, compare, copy_bandwidth, nbytes, out_of_memory_as_none
from options import make_parser, parse, short
from peers import Form, choose, permuted
from report import Report, against_cells, header, missing_peers, number, progress, table, time_cells
from scan_forms import FULL_TOLERANCES, check_full, check_small, make_inputs, run_form, truth

from sparx_mm.errors import user_errors
from sparx_mm.kernels import ss2d

# SparX-Mamba-T's, written out because this program runs without mmengine; stage i
# has stride 4 * 2^i
EMBED_DIMS = (96, 192, 320, 512)
DEPTHS = (2, 2, 7, 2)
PASSES = {False: 'forward', True: 'forward + backward'}
COLUMNS = (
    'map',
    'pass',
    'form',
    'ms',
    'median',
    'GB/s',
    'of copy',
    'peak MiB',
    'x time',
    'x memory',
)
# of the table of orders, its own row first
TABLE_FORMS = {
    orders: Form(functools.partial(ss2d, orders=orders)) for orders in ('diagonal', 'snake')
}
ORDER_FORMS = {**TABLE_FORMS, 'cross': Form(ss2d), 'permuted': Form(permuted)}
# states of SparX-Mamba, and of VMamba's first release, which VM-UNet keeps
STATES = (1, 16)
# time against length, with the channels of the first stage
SIDES = (14, 28, 56, 112, 224)
BATCH = dict(cuda=32, cpu=1)
# four times the tokens take at most so much of the time, from this side up
AIM, AIM_FROM = 4.4, 28


def fused_bytes(inputs, dy, backward):
    """Count the bytes that a fused form must move; see the head of this file.

    Args:
        inputs (list[Tensor]): Arguments of ss2d.
        dy (Tensor): Gradient of its output.
        backward (bool): Include the backward pass.

    Returns:
        int: The count.
    """
    forward = nbytes(*inputs, dy)
    return forward + 2 * nbytes(*inputs) + nbytes(dy) if backward else forward


def form_call(form, inputs, dy, backward):
    """Make the call that is timed: forward and backward, or forward alone.

    Args:
        form (Form): Form of the scan.
        inputs (list[Tensor]): Arguments of ss2d.
        dy (Tensor): Gradient of its output.
        backward (bool): Include the backward pass.

    Returns:
        Call: The call.
    """
    if form.contiguous and dy.is_cuda:
        inputs, dy = [inputs[0].detach().contiguous(), *inputs[1:]], dy.contiguous()
        inputs[0].requires_grad_()
    held = nbytes(*inputs, dy) if backward else nbytes(*inputs)
    return Call(lambda: run_form(form, inputs, dy, backward), held, form.repeats)


def time_forms(forms, inputs, dy, backward, repeats):
    """Time the forms that take maps of this size.

    Args:
        forms (dict[str, Form]): Forms by name.
        inputs (list[Tensor]): Arguments of ss2d.
        dy (Tensor): Gradient of its output.
        backward (bool): Time forward and backward, not forward alone.
        repeats (int): Number of timed calls of each.

    Returns:
        dict[str, Sample or None]: Results by name; None where memory did not
        suffice.
    """
    calls = {
        name: form_call(form, inputs, dy, backward)
        for name, form in forms.items()
        if form.takes(dy[0, 0].numel(), backward)
    }
    return compare(calls, dy.device, repeats)


def form_rows(title, backward, samples, moved, bandwidth, own='ss2d'):
    """Format the rows of one map and pass, a form each.

    Args:
        title (str): Name of the map.
        backward (bool): Key of ``PASSES``.
        samples (dict[str, Sample or None]): Results by form.
        moved (int): Bytes that a fused form must move.
        bandwidth (float): Bandwidth of a copy, in bytes per second.
        own (str): Name of the form that ratios are over. Default: ``'ss2d'``.

    Returns:
        list[list[str]]: The rows.
    """
    rows = []
    for name, sample in samples.items():
        speed = ['', '']
        if sample:
            rate = moved / sample.minimum * 1e3
            speed = [number(rate / 1e9), f'{rate / bandwidth:.0%}']
        rows.append(
            [
                title,
                PASSES[backward],
                name,
                *time_cells(sample),
                *speed,
                *against_cells(sample, samples.get(own)),
            ]
        )
    return rows


def whole_network(stages):
    """Sum over all layers the times of the forms that were timed in each stage.

    Args:
        stages (list[dict[str, Sample or None]]): Results by form, for each stage.

    Returns:
        dict[str, Sample]: Sums by form, without memory.
    """
    names = [n for n in stages[0] if all(stage.get(n) for stage in stages)]
    return {
        name: Sample(
            *(
                sum(depth * getattr(stage[name], field) for depth, stage in zip(DEPTHS, stages))
                for field in ('minimum', 'median')
            )
        )
        for name in names
    }


def stage_maps(images):
    """List batch, channels, height and width of the layers' maps at each stage.

    Args:
        images (Input): Images that the network is given.
    """
    maps = []
    height, width = images.height, images.width
    for dim, stride in zip(EMBED_DIMS, (4, 2, 2, 2)):
        height, width = -(-height // stride), -(-width // stride)
        maps.append((images.batch, dim, height, width))
    return maps


def stage_table(forms, images, args, bandwidth):
    """Check and time all stages for one input of the network.

    Args:
        forms (dict[str, Form]): ss2d and its peers.
        images (Input): Images that the network is given.
        args (Namespace): Command line.
        bandwidth (float): Bandwidth of a copy, in bytes per second.

    Returns:
        str: The table.
    """
    maps = stage_maps(images)
    rows, samples, moved = [], {False: [], True: []}, {False: [], True: []}
    for shape in maps:
        progress(f'{images}: scan of {shape}')
        inputs, dy = make_inputs(*shape, images.dtype, args.device)
        too_large = check_full(forms, inputs, dy)
        compared = {n: forms[n] for n in forms if n not in too_large}
        for backward in PASSES:
            times = time_forms(compared, inputs, dy, backward, args.repeats)
            # not timed, because they were not compared
            times.update(dict.fromkeys(too_large))
            samples[backward].append(times)
            moved[backward].append(fused_bytes(inputs, dy, backward))
            title = ' x '.join(map(str, dy.shape))
            rows += form_rows(title, backward, times, moved[backward][-1], bandwidth)
    for backward in PASSES:
        total = sum(d * m for d, m in zip(DEPTHS, moved[backward]))
        rows += form_rows(
            f'all {sum(DEPTHS)} layers',
            backward,
            whole_network(samples[backward]),
            total,
            bandwidth,
        )
    return f'## {images}\n\n{table(COLUMNS, rows)}'


def orders_table(images, args, bandwidth):
    """Check and time the scan along diagonals and snakes, and by permuted copies.

    Args:
        images (Input): Images that the network is given.
        args (Namespace): Command line.
        bandwidth (float): Bandwidth of a copy, in bytes per second.

    Returns:
        str: The table.
    """
    rows = []
    for state in STATES:
        for batch, dim, *size in stage_maps(images):
            title = ' x '.join(map(str, (batch, 2 * dim, *size))) + f', N = {state}'
            progress(f'{images}: orders of {title}')
            inputs, dy = make_inputs(batch, dim, *size, images.dtype, args.device, state)
            for orders, form in TABLE_FORMS.items():
                copies = Form(functools.partial(permuted, orders=orders))
                both = {orders: form, f'permuted {orders}': copies}
                check_small(both, dim, images.dtype, args.device, orders, state)
                check_full({f'permuted {orders}': copies}, inputs, dy, form.run)
            cross = {'cross': ORDER_FORMS['cross']}
            check_small(cross, dim, images.dtype, args.device, state=state)
            for backward in PASSES:
                times = time_forms(ORDER_FORMS, inputs, dy, backward, args.repeats)
                moved = fused_bytes(inputs, dy, backward)
                rows += form_rows(title, backward, times, moved, bandwidth, 'diagonal')
    return (
        f'## Orders: {images}\n\n"diagonal" is ss2d along rows, columns, anti-diagonals and '
        'diagonals, "permuted" the same by copies in these orders and one scan of sequences, '
        '"snake" ss2d along rows, columns and their reverses, every other line of them '
        f'backwards, "cross" the same without turning back.\n\n{table(COLUMNS, rows)}'
    )


def length_table(dtype, args):
    """Check and time ss2d on square maps of growing size, in turns.

    Args:
        dtype (torch.dtype): Dtype of the maps.
        args (Namespace): Command line.

    Returns:
        str: The table.
    """
    (batch, *_), form = args.batch or [BATCH[args.device.type]], Form(ss2d)
    calls = {}
    for side in SIDES:
        progress(f'{short(dtype)}: scan of {side} x {side}')
        inputs, dy = make_inputs(batch, EMBED_DIMS[0], side, side, dtype, args.device)
        error = disagreement(evaluate(ss2d, inputs, [dy]), truth(inputs, dy))
        check(f'ss2d on {tuple(dy.shape)} in {short(dtype)}', error, FULL_TOLERANCES[dtype])
        for backward in PASSES:
            calls[side, backward] = form_call(form, inputs, dy, backward)
    progress(f'{short(dtype)}: time against length')
    samples = compare(calls, args.device, args.repeats)
    rows = [
        [
            f'{side} x {side}',
            PASSES[backward],
            *time_cells(sample),
            *growth_cells(side, sample, samples.get((side // 2, backward))),
        ]
        for (side, backward), sample in samples.items()
    ]
    columns = ('map', 'pass', 'ms', 'median', 'x quarter', f'<= {AIM}')
    return (
        f'## Time against length: batch {batch}, {2 * EMBED_DIMS[0]} '
        f'channels, {short(dtype)}\n\n"x quarter" is the time over that '
        f'of a quarter of the tokens.\n\n{table(columns, rows)}'
    )


def growth_cells(side, sample, quarter):
    """Format the growth of time from a quarter of the tokens, and its verdict.

    Args:
        side (int): Side of the map.
        sample (Sample, optional): Result of this map.
        quarter (Sample, optional): Result of the map of half the side.

    Returns:
        list[str]: The growth, and whether it is linear; empty without a result.
    """
    if not (sample and quarter):
        return ['', '']
    growth = sample.minimum / quarter.minimum
    linear = 'yes' if growth <= AIM else 'no'
    return [number(growth), linear if side // 2 >= AIM_FROM else '']


@user_errors()
def main():
    parser = make_parser('Time the four-direction scan, forward and backward')
    parser.add_argument(
        '--only',
        choices=['stages', 'length', 'orders'],
        help='one part; default: the stages of the network, then time against length, then '
        'other orders',
    )
    args = parse(parser)
    report = Report(args.output)
    peers, missing = choose(args.peers, args.device)
    forms = {'ss2d': Form(ss2d), **peers}
    dtypes = list(dict.fromkeys(images.dtype for images in args.inputs))
    for dtype in dtypes:
        progress(f'{short(dtype)}: comparison with float64')
        for dim in EMBED_DIMS:
            check_small(forms, dim, dtype, args.device)
    bandwidth = copy_bandwidth(args.device)
    report.add(
        header('The four-direction scan', args)
        + f' A copy moves {number(bandwidth / 1e9)} GB/s.'
        + missing_peers(missing)
    )
    if args.only in (None, 'stages'):
        for images in args.inputs:
            block = out_of_memory_as_none(lambda: stage_table(forms, images, args, bandwidth))
            report.add(block or f'## {images}\n\nOut of memory.')
    if args.only in (None, 'length'):
        for dtype in dtypes:
            block = out_of_memory_as_none(lambda: length_table(dtype, args))
            report.add(block or '## Time against length: out of memory')
    if args.only in (None, 'orders'):
        for images in args.inputs:
            block = out_of_memory_as_none(lambda: orders_table(images, args, bandwidth))
            report.add(block or f'## Orders: {images}\n\nOut of memory.')


if __name__ == '__main__':
    main()
