"""Time backbones side by side: the family's, and those of other libraries.

    python benchmarks/family.py [--device cpu] [--arch tiny] [--help]
    python benchmarks/family.py --networks 'SparXMamba tiny' 'mmdet Swin-T' --batch 1 8 --size 224 512

Inference, and a training step, as in backbone.py. The ratios are over mmdet's Swin,
where it is among them. Each of ours is first compared with itself in float64 on small
images, maps and all gradients. Of several inputs there are tables of throughput and
memory at the end, and ``--plot FILE`` draws them.
"""

from pathlib import Path

import torch
from backbone import PASSES, check_sizes, import_networks
from measure import Call, compare, memory_limit, out_of_memory_as_none
from options import make_parser, parse
from peers import Form
from plot import check_picture, draw, rate
from report import (
    Report,
    against_cells,
    header,
    mebibytes,
    missing_peers,
    number,
    progress,
    table,
    time_cells,
)

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
        ('VSSD', 'tiny'),
        ('GroupMamba', 'tiny'),
        ('PlainMamba', 'l2'),
    ),
    'small': (
        ('SparXMamba', 'small'),
        ('VMamba', 'small'),
        ('VSSD', 'small'),
        ('GroupMamba', 'small'),
        ('PlainMamba', 'l3'),
    ),
    'base': (
        ('SparXMamba', 'base'),
        ('SparXSwin', 'base'),
        ('VMamba', 'base'),
        ('VSSD', 'base'),
        ('GroupMamba', 'base'),
    ),
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
    shape = (images.batch, 3, images.height, images.width)
    batch = out_of_memory_as_none(lambda: torch.randn(shape, device=args.device))
    calls, samples = {}, dict.fromkeys(family)
    for name, network in family.items() if batch is not None else ():
        # which takes the step once
        step = out_of_memory_as_none(
            lambda network=network: networks.Step(network, batch, images.dtype, training)
        )
        if step:
            calls[name] = Call(step, step.nbytes())
    return {**samples, **compare(calls, args.device, args.repeats)}


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
        rows.append(
            [
                name,
                number(params / 1e6),
                *time_cells(sample),
                number(rate(images, sample)) if sample else '',
                *against_cells(sample, samples[against]),
            ]
        )
    return table(COLUMNS, rows)


def sweep_tables(samples):
    """Write throughput and peak memory of all inputs, as in SparX's paper, Tables 16 and 17.

    Args:
        samples (dict[Input, dict[str, Sample or None]]): Results of `time_family`.

    Returns:
        str: Markdown, a row for each input and a column for each network.
    """

    def cells(images, given, text):
        values = [text(images, sample) if sample else 'out of memory' for sample in given]
        return [str(images), *values]

    names = ['input', *next(iter(samples.values()))]
    blocks = []
    for title, text in (
        ('images/s', lambda images, sample: number(rate(images, sample))),
        ('peak MiB', lambda images, sample: number(mebibytes(sample))),
    ):
        rows = [cells(images, given.values(), text) for images, given in samples.items()]
        blocks.append(f'**{title}**\n\n{table(names, rows)}')
    return '\n\n'.join(blocks)


def parse_options():
    """Parse the command line."""
    parser = make_parser('Time backbones side by side', False)
    parser.add_argument(
        '--arch', nargs='+', choices=NETWORKS, help='families of a size each; default: tiny'
    )
    parser.add_argument(
        '--networks',
        nargs='+',
        metavar='NETWORK',
        help='instead: any list of ours ("SparXMamba small") and others ("mmdet Swin-S")',
    )
    parser.add_argument('--plot', type=Path, metavar='FILE', help='draw time and memory')
    args = parse(parser)
    if args.networks and args.arch:
        raise UserError('--networks is a list of its own: leave --arch out')
    args.arch = args.arch or ['tiny']
    if args.plot and len(args.arch) > 1:
        raise UserError(f'--plot draws the networks of one --arch, got {" ".join(args.arch)}')
    if args.plot:
        # before hours of timing
        check_picture(args.plot)
    return args


def choose_networks(networks, args):
    """Return the names of networks of each table: by size, or those that were asked for.

    Args:
        networks (module): Module from `import_networks`.
        args (Namespace): Command line.

    Returns:
        dict[str, list[str]]: Names by title.

    Raises:
        UserError: If there is no such network.
    """
    if not args.networks:
        return {
            size: [*(f'{b} {a}' for b, a in NETWORKS[size]), *networks.PEERS[size]]
            for size in args.arch
        }
    known = networks.list_names()
    for name in args.networks:
        if name not in known:
            raise UserError(f'--networks: no network {name!r}; there are {", ".join(known)}')
    return {'': list(dict.fromkeys(args.networks))}


def build_family(networks, names, dtypes, device):
    """Build networks, and compare ours with float64.

    Args:
        networks (module): Module from `import_networks`.
        names (list[str]): Their names.
        dtypes (Iterable[torch.dtype]): What they will be timed in.
        device (torch.device): Where they will be timed.

    Returns:
        tuple[dict[str, Module], dict[str, str]]: Networks by name, and why others
        are missing.
    """
    family, missing = {}, {}
    for name in names:
        network, missing[name] = networks.build_named(name, device)
        if network is not None:
            family[name] = network
    for dtype in dtypes:
        for name, network in family.items():
            if not is_peer(networks, name):
                progress(f'{name}: comparison with float64')
                networks.check_small({name: Form(ss2d)}, network, dtype, device)
    return family, missing


def is_peer(networks, name):
    """Return True for a network of another library.

    Args:
        networks (module): Module from `import_networks`.
        name (str): Name of the network.
    """
    return any(name in size for size in networks.PEERS.values())


@user_errors()
def main():
    args = parse_options()
    check_sizes(args)
    networks = import_networks()
    groups = choose_networks(networks, args)
    report = Report(args.output)
    report.add(header('The family', args, "a network over the size's Swin"))
    dtypes = dict.fromkeys(images.dtype for images in args.inputs)
    with memory_limit(args.device):
        for size, names in groups.items():
            family, missing = build_family(networks, names, dtypes, args.device)
            peers = [name for name in family if is_peer(networks, name)]
            # the first, but a Swin before others
            against = min(peers or family, key=lambda name: 'mmdet Swin' not in name, default=None)
            title = f'{size}, ' if size else ''
            missing = missing_peers(missing).strip()
            if missing or args.networks:
                whose = f'The ratios of "{size}"' if size else 'The ratios'
                report.add(f'{missing} {whose} are over {against}.'.strip())
            passes = {training: {} for training in PASSES}
            for images in args.inputs:
                for training, name in PASSES.items():
                    progress(f'{title}{images}: {name}')
                    samples = time_family(networks, family, images, training, args)
                    passes[training][images] = samples
                    rows = family_table(family, samples, against, images)
                    report.add(f'## {title}{images}, {name}\n\n{rows}')
            if len(args.inputs) > 1:
                for training, name in PASSES.items():
                    report.add(f'## {title}{name}, all\n\n{sweep_tables(passes[training])}')
            if args.plot:
                draw(passes, args.plot)


if __name__ == '__main__':
    main()
