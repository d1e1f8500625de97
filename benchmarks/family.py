"""Time the backbones of the family, side by side, and those of other libraries.

    python benchmarks/family.py [--device cpu] [--arch tiny] [--help]

Inference, and a training step, as in backbone.py. The networks of a table have about
the same size; the ratios are over mmdet's Swin, where mmdet is installed. Each of ours is first compared with itself in float64 on small images,
maps and all gradients.
"""

import torch
from backbone import PASSES, check_sizes, import_networks
from measure import Call, compare
from options import make_parser, parse
from peers import Form
from report import Report, against_cells, header, missing_peers, number, progress, table, time_cells

from sparx_mm.errors import user_errors
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


def family_rows(networks, family, against, images, training, args):
    """Time all networks on one input, in one pass.

    Args:
        networks (module): Module from `import_networks`.
        family (dict[str, Module]): Networks by name.
        against (str): Name of the network that the others are compared with.
        images (Input): Images that they are given.
        training (bool): Time a training step, not inference.
        args (Namespace): Command line.

    Returns:
        list[list[str]]: A row for each network.
    """
    batch = torch.randn(images.batch, 3, images.height, images.width, device=args.device)
    calls = {}
    for name, network in family.items():
        step = networks.Step(network, batch, images.dtype, training)
        calls[name] = Call(step, step.nbytes())
    samples = compare(calls, args.device, args.repeats)
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
    return rows


@user_errors()
def main():
    parser = make_parser('Time the backbones of the family', False)
    parser.add_argument(
        '--arch', nargs='+', choices=NETWORKS, default=['tiny'], help='sizes; default: tiny'
    )
    args = parse(parser)
    check_sizes(args)
    networks = import_networks()
    report = Report(args.output)
    report.add(header('The family', args, "a network over the size's Swin"))
    dtypes = dict.fromkeys(images.dtype for images in args.inputs)
    for size in args.arch:
        family = {
            f'{backbone} {arch}': networks.build(arch, args.device, backbone)
            for backbone, arch in NETWORKS[size]
        }
        for dtype in dtypes:
            for name, network in family.items():
                progress(f'{name}: comparison with float64')
                networks.check_small({name: Form(ss2d)}, network, dtype, args.device)
        peers = {
            name: networks.build_peer(size, name, args.device) for name in networks.PEERS[size]
        }
        family.update({name: network for name, (network, _) in peers.items() if network})
        against = next((name for name in peers if name in family), next(iter(family)))
        missing = missing_peers({name: why for name, (_, why) in peers.items()})
        if missing:
            report.add(f'{missing.strip()} The ratios of "{size}" are over {against}.')
        for images in args.inputs:
            for training, title in PASSES.items():
                progress(f'{size}, {images}: {title}')
                rows = family_rows(networks, family, against, images, training, args)
                report.add(f'## {size}, {images}, {title}\n\n{table(COLUMNS, rows)}')


if __name__ == '__main__':
    main()
