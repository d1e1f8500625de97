"""Compute the least time that networks need on a device, part by part.

    python benchmarks/roofline.py --device h100 [--size 224 800x1280] [--help]
    python benchmarks/roofline.py --device cpu --calibrate

The networks run on shapes alone, so the device need not be here. Every operator takes as
long as the bytes that it reads and writes, its FLOPs or its instructions need, whichever is
most, and a launch. --calibrate holds that to this CPU: the same parts, measured.
"""

import copy
import os
import statistics
from collections import Counter, defaultdict
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import torch
from backbone import PASSES, check_sizes, import_networks
from measure import Call, compare
from options import make_parser, parse
from peers import FORMS
from report import Report, missing_peers, number, progress, ratio, software, table
from roofline_devices import GPUS, measure_cpu
from roofline_forms import bound, fuse_elementwise, without_layout_copies
from roofline_walk import KINDS, choose_kernels, walk
from torch._subclasses import FakeTensorMode

from sparx_mm.errors import UserError, user_errors
from sparx_mm.kernels.dispatch import ENV_VAR

OWN, AS_IS = 'SparX-Mamba-T', 'as it is'


def _build_all(networks):
    """Return the networks, ours first, and why others are missing."""
    cpu, missing = torch.device('cpu'), {}
    found = {OWN: networks.build('tiny', cpu), 'VMamba-T': networks.build('tiny', cpu, 'VMamba')}
    for name in networks.PEERS['tiny']:
        found[name], missing[name] = networks.build_peer('tiny', name, cpu)
    return {name: network for name, network in found.items() if network}, missing


def _count(networks, network, images, training, device, weights=torch.float32, ours=True, **kwargs):
    """Walk through a network on shapes; weights in 16 bits go without autocast.

    Its layers choose our kernels on a GPU, or torch's if not ``ours``.
    """
    # networks take other ways on a CPU, which fake tensors are on
    kind, shapes = ('meta', nullcontext()) if device.processors else ('cpu', FakeTensorMode())
    network = copy.deepcopy(network)
    with shapes, torch.device(kind), choose_kernels(bool(device.processors and ours)):
        network._apply(
            lambda t: torch.empty(t.shape, dtype=weights if t.dtype.is_floating_point else t.dtype)
        )
        batch = torch.empty(images.batch, 3, images.height, images.width, dtype=weights)
        step = networks.Step(network, batch, torch.float32, training)
        autocast = images.dtype if weights == torch.float32 else torch.float32
        return walk(step, autocast, device.processors, **kwargs)


def _forms(count):
    """Return our network's operators by form."""
    was, own = count(ours=False), count()
    return {
        'unfused': count(ours=False, form=FORMS['unfused'].run),
        'as it was': was,
        'channels-last': without_layout_copies(was),
        AS_IS: own,
        'and fused': fuse_elementwise(own),
    }


def _lever_table(count, forms, dtype, device):
    """Format what each change saves by itself, and all together."""

    def total(ops, device=device):
        return sum(bound(ops, device).values())

    unfused, was, last, own, fused = forms.values()
    ideal, narrow = count(ideal=True), count(ideal=True, weights=dtype)

    def halved(ops):
        return [replace(op, instructions=op.instructions // 2) for op in ops]

    no_launch, now = device._replace(launch=0.0), total(own)
    straight = total(without_layout_copies(own))
    saved = {
        'done: the scan fused, from the unfused pipeline': total(unfused) - total(was),
        'done: no layout copies around the scan': total(was) - total(last),
        'done: norms and depthwise convolutions by our kernels': total(last) - now,
        'elementwise operators fused': now - total(fused),
        'no more layout copies': now - straight,
        'scan reads and writes each tensor once': straight - total(ideal),
        'scan in half the instructions': now - total(halved(own)),
        '16 bits for weights too': total(ideal) - total(narrow),
        'no launches': now - total(own, no_launch),
        'all of these': now - total(halved(fuse_elementwise(narrow)), no_launch),
    }
    rows = [[lever, number(s * 1e3), f'{s / now:.0%}'] for lever, s in saved.items() if s]
    return table(['lever', 'saves, ms', 'of as it is'], rows)


def _bound_table(columns, images, device):
    """Format the least milliseconds by part, a form or network a column."""
    times = [bound(ops, device) for ops in columns.values()]
    totals = [sum(t.values()) for t in times]
    moved = [sum(n for op in ops for _, n in op.reads + op.writes) for ops in columns.values()]
    work = [sum(op.flops for op in ops) for ops in columns.values()]
    rows = [
        [kind, *(number(t[kind] * 1e3) if t[kind] else '' for t in times)]
        for kind in (*KINDS, 'launches')
        if any(t[kind] for t in times)
    ]
    rows += [
        ['**sum**', *(number(t * 1e3) for t in totals)],
        ['images/s', *(number(images.batch / t) for t in totals)],
        ['operators', *(str(len(ops)) for ops in columns.values())],
        ['GB', *(number(n / 1e9) for n in moved)],
        ['G multiply-adds', *(number(n / 2e9) for n in work)],
    ]
    return table(['ms', *columns], rows)


def _calibrate(networks, network, ops, images, training, device, repeats):
    """Return pairs of predicted and measured milliseconds by part of a network."""
    batch = torch.randn(images.batch, 3, images.height, images.width)
    step = networks.Step(network, batch, torch.float32, training)
    whole = compare(dict(step=Call(step)), batch.device, repeats)['step'].minimum
    predicted, measured = bound(ops, device), Counter()
    del predicted['launches']
    for op in ops:
        predicted[op.kind] += device.launch
    # the least time of each operator, because outliers are normal on a shared machine
    for same in zip(*(walk(step, images.dtype, None) for _ in range(repeats)), strict=True):
        measured[same[0].kind] += min(op.seconds for op in same)
    pairs = {kind: (predicted[kind] * 1e3, measured[kind] * 1e3) for kind in KINDS}
    pairs['all operators'] = tuple(map(sum, zip(*pairs.values())))
    return {**pairs, 'whole step': (pairs['all operators'][0], whole)}


def _calibration_table(pairs):
    """Format predicted and measured milliseconds and their ratio, a network a column."""
    rows = []
    for kind in next(iter(pairs.values())):
        cells = [each[kind] for each in pairs.values()]
        texts = [f'{number(p)} / {number(m)}, {ratio(p, m)}' if p or m else '' for p, m in cells]
        if any(texts):
            rows.append([kind, *texts])
    return table(['predicted / measured ms', *pairs], rows)


def _summary(passes):
    """Write how far off predictions were, from the pairs by part and network of each pass."""
    ratios, wholes, beside = defaultdict(list), [], []
    for pairs in passes:
        whole = {
            name: parts['whole step'][0] / parts['whole step'][1] for name, parts in pairs.items()
        }
        wholes += whole.values()
        beside += [r / whole[OWN] for name, r in whole.items() if name != OWN]
        for parts in pairs.values():
            for kind in KINDS:
                if parts[kind][1]:
                    ratios[kind].append(parts[kind][0] / parts[kind][1])
    by_kind = ', '.join(f'{kind} {statistics.median(each):.2f}' for kind, each in ratios.items())
    return (
        f'Predicted over measured, whole steps: {min(wholes):.2f} to {max(wholes):.2f}, median '
        f'{statistics.median(wholes):.2f}; medians by part: {by_kind}. Time of another network '
        f'over that of {OWN}, predicted over measured: {min(beside):.2f} to {max(beside):.2f}.'
    )


@user_errors()
def main():
    parser = make_parser('Compute the least time that networks need', False, on_paper=GPUS)
    parser.add_argument('--calibrate', action='store_true', help='measure too, on --device cpu')
    parser.set_defaults(repeats=5)
    args = parse(parser)
    is_here = args.device not in GPUS
    if args.calibrate and not is_here:
        raise UserError(f'--calibrate measures what is here: take --device cpu, not {args.device}')
    if args.calibrate and any(images.dtype != torch.float32 for images in args.inputs):
        raise UserError('--calibrate measures in float32: leave out --dtype')
    if not is_here and find_spec('triton') is None:
        raise UserError(f'--device {args.device}: its kernels are counted by triton: install it')
    if os.environ.get(ENV_VAR):
        raise UserError(f'{ENV_VAR} chooses kernels, and shapes run none: unset it')
    check_sizes(args)
    networks, report, passes = import_networks(), Report(args.output), []
    found, missing = _build_all(networks)
    device = measure_cpu() if is_here else GPUS[args.device]
    heading = f'# Roofline: {device.name}\n\n{device.describe()} {", ".join(software())}.'
    report.add(heading + missing_peers(missing))
    for images in args.inputs:
        for training, title in PASSES.items():
            progress(f'{images}: {title}')
            counts = {
                name: partial(_count, networks, network, images, training, device)
                for name, network in found.items()
            }
            forms = _forms(counts[OWN])
            others = {name: count() for name, count in counts.items() if name != OWN}
            report.add(f'## {images}, {title}')
            report.add(_bound_table({**forms, **others}, images, device))
            report.add(_lever_table(counts[OWN], forms, images.dtype, device))
            if args.calibrate:
                pairs = {
                    name: _calibrate(
                        networks, found[name], ops, images, training, device, args.repeats
                    )
                    for name, ops in {OWN: forms[AS_IS], **others}.items()
                }
                report.add(_calibration_table(pairs))
                passes.append(pairs)
    if passes:
        report.add(_summary(passes))


if __name__ == '__main__':
    main()
