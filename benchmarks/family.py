"""Time the backbones of the family, side by side, and those of other libraries.

    python benchmarks/family.py [--device cpu] [--arch tiny] [--help]

Inference, and a training step, as in backbone.py. The networks of a table have about
the same size; the ratios are over mmdet's Swin, where mmdet is installed. Each of ours
is first compared with itself in float64 on small images, maps and all gradients.
``--plot FILE`` draws the times of all inputs.
"""

from pathlib import Path

import torch
from backbone import PASSES, check_sizes, import_networks
from measure import Call, compare
from options import make_parser, parse
from peers import Form
from report import Report, against_cells, header, missing_peers, number, progress, table, time_cells

from sparx_mm.errors import UserError, user_errors
from sparx_mm.kernels import ss2d

# backbones and archs by size
NETWORKS = {
    'tiny': (
        ('SparXMamba', 'tiny'),
        ('SparXMamba', 'tiny-ssm'),
        ('SparXMamba', 'tiny-bissm'),
        ('SparXSwin', 'tiny'),
        ('VMamba', 'tiny'),
    ),
    'small': (('SparXMamba', 'small'), ('VMamba', 'small')),
    'base': (('SparXMamba', 'base'), ('SparXSwin', 'base'), ('VMamba', 'base')),
}
COLUMNS = ('network', 'M parameters', 'ms', 'median', 'images/s', 'peak MiB', 'x time', 'x memory')


def time_family(networks, family, images, training, args):
    """Time all networks on one input, in one pass.

    Args:
        networks (module): Module from `import_networks`.
        family (dict[str, Module]): Networks by name.
        images (Input): Images that they are given.
        training (bool): Time a training step, not inference.
        args (Namespace): Command line.

    Returns:
        dict[str, Sample or None]: None where memory did not suffice.
    """
    batch = torch.randn(images.batch, 3, images.height, images.width, device=args.device)
    calls = {}
    for name, network in family.items():
        step = networks.Step(network, batch, images.dtype, training)
        calls[name] = Call(step, step.nbytes())
    return compare(calls, args.device, args.repeats)


def family_table(family, samples, against, images):
    """Write the table of one input and pass.

    Args:
        family (dict[str, Module]): Networks by name.
        samples (dict[str, Sample or None]): Result of `time_family`.
        against (str): Name of the network that the others are compared with.
        images (Input): Images that they were given.

    Returns:
        str: Markdown.
    """
    rows = []
    for name, sample in samples.items():
        params = sum(p.numel() for p in family[name].parameters())
        rate = images.batch / sample.minimum * 1e3 if sample else None
        rows.append(
            [
                name,
                number(params / 1e6),
                *time_cells(sample),
                number(rate) if rate else '',
                *against_cells(sample, samples[against]),
            ]
        )
    return table(COLUMNS, rows)


def draw(times, path):
    """Draw time over the size of the images, the root of their pixels.

    Args:
        times (dict[bool, dict[str, list[tuple[int, float]]]]): Pixels of an image and
            milliseconds per image, by pass and network.
        path (Path): File to write, of a format that its ending names.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout='constrained')
    for axes, (training, networks) in zip(figure.subplots(1, 2), times.items()):
        for name, points in networks.items():
            pixels, milliseconds = zip(*sorted(points))
            sides = [n**0.5 for n in pixels]
            axes.plot(sides, milliseconds, marker='o', markersize=3, label=name)
        axes.set(title=PASSES[training], xlabel='side of the image', ylabel='ms per image')
        axes.set(xscale='log', yscale='log')
        axes.set_xticks(sides, [f'{side:.0f}' for side in sides])
        axes.set_xticks([], minor=True)
        for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            which('{x:g}')
        axes.grid(alpha=0.3, which='both')
        axes.legend(fontsize='small')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def parse_options():
    """Parse the command line."""
    parser = make_parser('Time the backbones of the family', False)
    parser.add_argument(
        '--arch', nargs='+', choices=NETWORKS, default=['tiny'], help='sizes; default: tiny'
    )
    names = [f'{backbone} {arch}' for pairs in NETWORKS.values() for backbone, arch in pairs]
    parser.add_argument(
        '--networks',
        nargs='+',
        choices=names,
        default=names,
        metavar='NETWORK',
        help=f'which of ours, of "{", ".join(names)}"; default: all of a size',
    )
    parser.add_argument('--plot', type=Path, metavar='FILE', help='draw the times of one --arch')
    args = parse(parser)
    if args.plot and len(args.arch) > 1:
        raise UserError(f'--plot draws the networks of one --arch, got {" ".join(args.arch)}')
    return args


@user_errors()
def main():
    args = parse_options()
    check_sizes(args)
    networks = import_networks()
    report = Report(args.output)
    report.add(header('The family', args, "a network over the size's Swin"))
    times = {training: {} for training in PASSES}
    dtypes = dict.fromkeys(images.dtype for images in args.inputs)
    for size in args.arch:
        family = {
            f'{backbone} {arch}': networks.build(arch, args.device, backbone)
            for backbone, arch in NETWORKS[size]
            if f'{backbone} {arch}' in args.networks
        }
        for dtype in dtypes:
            for name, network in family.items():
                progress(f'{name}: comparison with float64')
                networks.check_small({name: Form(ss2d)}, network, dtype, args.device)
        peers = {n: networks.build_peer(size, n, args.device) for n in networks.PEERS[size]}
        family.update({name: network for name, (network, _) in peers.items() if network})
        against = next((name for name in peers if name in family), next(iter(family)))
        missing = missing_peers({name: why for name, (_, why) in peers.items()})
        if missing:
            report.add(f'{missing.strip()} The ratios of "{size}" are over {against}.')
        for images in args.inputs:
            for training, title in PASSES.items():
                progress(f'{size}, {images}: {title}')
                samples = time_family(networks, family, images, training, args)
                rows = family_table(family, samples, against, images)
                report.add(f'## {size}, {images}, {title}\n\n{rows}')
                for name, sample in samples.items():
                    if sample:
                        point = images.height * images.width, sample.minimum / images.batch
                        times[training].setdefault(name, []).append(point)
    if args.plot:
        draw(times, args.plot)


if __name__ == '__main__':
    main()
