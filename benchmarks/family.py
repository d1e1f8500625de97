"""Time the backbones of the family, side by side, and mmdet's Swin-T.

    python benchmarks/family.py [--device cpu] [--help]

Inference, and a training step, as in backbone.py. The networks have about the
same size. Each of ours is first compared with itself in float64 on small images,
maps and all gradients.
"""

import torch
from backbone import PASSES, SWIN, check_sizes, import_networks
from measure import Call, compare
from options import make_parser, parse
from peers import Form
from report import Report, against_cells, header, missing_peers, number, progress, table, time_cells

from sparx_mm.errors import user_errors
from sparx_mm.kernels import ss2d

# backbone and arch; the first is what the others are compared with
NETWORKS = (
    ('SparXMamba', 'tiny'),
    ('SparXMamba', 'tiny-ssm'),
    ('SparXMamba', 'tiny-bissm'),
    ('SparXSwin', 'tiny'),
)
COLUMNS = ('network', 'M parameters', 'ms', 'median', 'images/s', 'peak MiB', 'x time', 'x memory')


def family_rows(networks, family, images, training, args):
    """Time all networks on one input, in one pass.

    Args:
        networks (module): Module from `import_networks`.
        family (dict[str, Module]): Networks by name.
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
    first = next(iter(samples.values()))
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
                *against_cells(sample, first),
            ]
        )
    return rows


@user_errors()
def main():
    args = parse(make_parser('Time the backbones of the family', False))
    check_sizes(args)
    networks = import_networks()
    report, missing = Report(args.output), {}
    family = {
        f'{backbone} {arch}': networks.build(arch, args.device, backbone)
        for backbone, arch in NETWORKS
    }
    swin, missing[SWIN] = networks.build_swin(args.device)
    report.add(header('The family', args, 'a network over the first') + missing_peers(missing))
    for dtype in dict.fromkeys(images.dtype for images in args.inputs):
        for name, network in family.items():
            progress(f'{name}: comparison with float64')
            networks.check_small({name: Form(ss2d)}, network, dtype, args.device)
    if swin:
        family[SWIN] = swin
    for images in args.inputs:
        for training, title in PASSES.items():
            progress(f'{images}: {title}')
            rows = family_rows(networks, family, images, training, args)
            report.add(f'## {images}, {title}\n\n{table(COLUMNS, rows)}')


if __name__ == '__main__':
    main()
