"""Time whole backbones: SparX-Mamba or VMamba with each form of the scan, and Swin-T.

    python benchmarks/backbone.py [--device cpu] [--arch tiny] [--backbone VMamba] [--help]

Inference, and a training step: forward in training mode and the gradients of
all parameters, without an optimizer, without drop path in ours. 16
bits are autocast. Only the scan differs between the forms: the network and its
weights are the same.
"""

import torch
from measure import Call, compare, out_of_memory_as_none
from options import make_parser, parse
from peers import Form, choose
from report import Report, against_cells, header, missing_peers, number, progress, table, time_cells

from sparx_mm.errors import UserError, user_errors
from sparx_mm.kernels import ss2d

BACKBONES = ('SparXMamba', 'VMamba')
ARCHS = ('tiny', 'small', 'base')
OWN = 'ss2d'
PASSES = {False: 'inference', True: 'training step'}
COLUMNS = ('arch', 'pass', 'form', 'ms', 'median', 'images/s', 'peak MiB', 'x time', 'x memory')


def import_networks():
    """Import the module that builds backbones.

    Raises:
        UserError: If a package that it needs is missing.
    """
    try:
        import networks
    except ImportError as error:
        raise UserError(f'backbones cannot be built here: {error}') from error
    return networks


def check_sizes(args):
    """Raise UserError if batch norms cannot train on images of a size."""
    for images in args.inputs:
        if images.batch == 1 and max(images.height, images.width) <= 32:
            raise UserError(
                f'--size {images.height}x{images.width}: batch '
                'norms cannot train on a single position; take '
                '--batch 2, or a size of more than 32'
            )


def network_rows(networks, arch, images, forms, swin, args):
    """Check and time one arch on one input.

    Args:
        networks (module): Module from `import_networks`.
        arch (str): Arch of the backbone.
        images (Input): Images that it is given.
        forms (dict[str, Form]): ss2d and its peers.
        swin (Module or None): Network to time beside the tiny arch.
        args (Namespace): Command line.

    Returns:
        list[list[str]]: A row for each pass and form.
    """
    device, dtype = args.device, images.dtype
    progress(f'{images}: {arch}, comparison')
    network = networks.build(arch, device, args.backbone)
    networks.check_small(forms, network, dtype, device)
    batch = torch.randn(images.batch, 3, images.height, images.width, device=device)
    length = -(-images.height // 4) * -(-images.width // 4)
    rows = []
    for training, title in PASSES.items():
        progress(f'{images}: {arch}, {title}')
        step = networks.Step(network, batch, dtype, training)
        too_large = networks.check_full(forms, step, length)
        calls = {
            name: Call(lambda form=form: step(form.run), step.nbytes(), form.repeats)
            for name, form in forms.items()
            if form.takes(length, training) and name not in too_large
        }
        if swin and arch == 'tiny':
            swin_step = networks.Step(swin, batch, dtype, training)
            calls[networks.SWIN] = Call(swin_step, swin_step.nbytes())
        samples = compare(calls, device, args.repeats)
        # not timed, because they were not compared
        samples.update(dict.fromkeys(too_large))
        for name, sample in samples.items():
            rate = images.batch / sample.minimum * 1e3 if sample else None
            rows.append(
                [
                    arch,
                    title,
                    name,
                    *time_cells(sample),
                    number(rate) if rate else '',
                    *against_cells(sample, samples[OWN]),
                ]
            )
    return rows


@user_errors()
def main():
    parser = make_parser('Time whole backbones, inference and training')
    parser.add_argument(
        '--arch', nargs='+', choices=ARCHS, help='default: all on a GPU, tiny on a CPU'
    )
    parser.add_argument(
        '--backbone', choices=BACKBONES, default=BACKBONES[0], help='default: SparXMamba'
    )
    args = parse(parser)
    check_sizes(args)
    archs = args.arch or (ARCHS if args.device.type == 'cuda' else ARCHS[:1])
    networks = import_networks()
    report = Report(args.output)
    peers, missing = choose(args.peers, args.device)
    forms = {OWN: Form(ss2d), **peers}
    swin, missing[networks.SWIN] = networks.build_peer('tiny', networks.SWIN, args.device)
    report.add(header(f'Backbones: {args.backbone}', args) + missing_peers(missing))
    for images in args.inputs:
        rows = []
        for arch in archs:
            rows += out_of_memory_as_none(
                lambda: network_rows(networks, arch, images, forms, swin, args)
            ) or [[arch, '', OWN, *time_cells(None), *[''] * 4]]
        report.add(f'## {images}\n\n{table(COLUMNS, rows)}')


if __name__ == '__main__':
    main()
