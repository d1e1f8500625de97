"""Look at what backbones compute: python tools/look.py KIND --network NAME --images DIR."""

import argparse
from pathlib import Path

import openmp  # noqa: F401
import torch

from sparx_mm.analysis import (
    KINDS,
    find_images,
    look,
    make_network,
    read_images,
    write_figure,
    write_numbers,
)
from sparx_mm.errors import UserError, user_errors
from sparx_mm.run import ArgumentParser, CfgOptionsAction


class NetworkAction(CfgOptionsAction):
    """Collect a name and its ``KEY=VALUE`` pairs for each time that the option is given."""

    def __call__(self, parser, namespace, values, option_string=None):
        name, *pairs = values
        one = argparse.Namespace(**{self.dest: {}})
        super().__call__(parser, one, pairs)
        given = getattr(namespace, self.dest) or []
        setattr(namespace, self.dest, [*given, (name, getattr(one, self.dest, {}))])


def parse_args():
    parser = ArgumentParser(description='Draw what backbones compute, side by side')
    parser.add_argument(
        'kind',
        choices=KINDS,
        help='; '.join(f'{name}: {kind.text}' for name, kind in KINDS.items()),
    )
    parser.add_argument(
        '--network',
        dest='networks',
        nargs='+',
        action=NetworkAction,
        required=True,
        metavar=('NAME', 'KEY=VALUE'),
        help='config file, SparXMamba, Swin-T, ConvNeXt-T or mmdet.ResNet, and its arguments '
        '(arch=small); checkpoint=FILE, label=NAME in the picture, mixers=PATTERN of the names '
        'of token mixers. May be given several times',
    )
    parser.add_argument('--images', required=True, metavar='DIR', help='folder of images')
    parser.add_argument(
        '--num',
        type=int,
        metavar='N',
        help='images, chosen at random; default: '
        + ', '.join(f'{kind.num} for {name}' for name, kind in KINDS.items()),
    )
    parser.add_argument('--size', type=int, default=224, help='side of the images; default: 224')
    parser.add_argument('--seed', type=int, default=0, help='of images and weights; default: 0')
    parser.add_argument('--batch', type=int, default=8, help='images at a time; default: 8')
    parser.add_argument('--device', default='cpu', help='cpu or cuda; default: cpu')
    parser.add_argument('--out', help='picture, .png or .svg; default: KIND.png, beside it .json')
    args = parser.parse_args()
    for name in ('num', 'size', 'batch'):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            parser.error(f'--{name} must be at least 1, got {getattr(args, name)}')
    gpus = torch.cuda.device_count()
    if args.device not in ('cpu', 'cuda', *(f'cuda:{i}' for i in range(gpus))) or (
        args.device == 'cuda' and not gpus
    ):
        raise UserError(f'--device {args.device}: torch sees {gpus} GPUs; take --device cpu')
    args.out = args.out or f'{args.kind}.png'
    # before a minute's work is lost
    if Path(args.out).suffix.lower() not in ('.png', '.svg'):
        parser.error(f'--out must end in .png or .svg, got {args.out}')
    return args


@user_errors()
def main():
    args = parse_args()
    paths = find_images(args.images, args.num or KINDS[args.kind].num, args.seed)
    images = read_images(paths, args.size)
    networks = []
    for name, options in args.networks:
        torch.manual_seed(args.seed)
        networks.append(make_network(name, options, args.device))
    figure, numbers = look(args.kind, networks, images, args.batch, args.device)
    write_figure(args.out, figure)
    out = Path(args.out).with_suffix('.json')
    write_numbers(str(out), dict(images=[str(path) for path in paths], networks=numbers))
    print(f'{args.out}, {out}: {len(paths)} images')


if __name__ == '__main__':
    main()
