"""Draw training samples as the model sees them: python tools/browse_dataset.py CONFIG [options]."""

import os.path as osp

import openmp  # noqa: F401

from sparx_mm.errors import UserError, user_errors
from sparx_mm.reports import browse
from sparx_mm.run import (
    ArgumentParser,
    add_cfg_options,
    load_config,
    load_dataset,
    show_progress,
)


def parse_args():
    parser = ArgumentParser(
        description='Draw samples of a data set after its pipeline, with boxes, masks, label maps or '
        'labels: a file for each, and a contact sheet'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--split', choices=['train', 'val', 'test'], default='train', help='default: train'
    )
    parser.add_argument('--num', type=int, default=24, help='number of images; default: 24')
    parser.add_argument('--start', type=int, default=0, help='first image; default: 0')
    parser.add_argument(
        '--repeat',
        type=int,
        default=1,
        help='how often each image is drawn, augmented anew; default: 1',
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the augmentations; default: 0')
    parser.add_argument(
        '--out',
        help='folder of the pictures; default: work_dirs/browse/ and the name of the config',
    )
    add_cfg_options(parser)
    return parser.parse_args()


@user_errors()
def main():
    args = parse_args()
    if args.num < 1 or args.repeat < 1 or args.start < 0 or not 0 <= args.seed < 2**32:
        raise UserError(
            '--num and --repeat must be at least 1, --start at least 0, and --seed from 0 to 2**32 - 1'
        )
    dataset = load_dataset(load_config(args.config, args.cfg_options), args.split)
    indices = range(args.start, min(args.start + args.num, len(dataset)))
    if not indices:
        raise UserError(f'--start {args.start}: the {args.split} set has {len(dataset)} images')
    name = osp.splitext(osp.basename(args.config))[0]
    folder = args.out or osp.join('work_dirs/browse', name)
    sheet = browse(dataset, folder, indices, args.repeat, args.seed, show_progress)
    print(f'{sheet}: {len(indices)} images of {len(dataset)}, and a file for each beside it')


if __name__ == '__main__':
    main()
