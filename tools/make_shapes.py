"""Draw a data set with masks and label maps: python tools/make_shapes.py DIR."""

import openmp  # noqa: F401

from sparx_mm.demo import make_shapes
from sparx_mm.errors import UserError, user_errors
from sparx_mm.run import ArgumentParser, show_progress


def parse_args():
    parser = ArgumentParser(description='Draw shapes, with masks in COCO format and label maps')
    parser.add_argument(
        'root', nargs='?', default='data/shapes', help='folder of the set; default: data/shapes'
    )
    parser.add_argument(
        '--train', type=int, default=400, metavar='N', help='training images; default: 400'
    )
    parser.add_argument(
        '--val', type=int, default=100, metavar='N', help='validation images; default: 100'
    )
    parser.add_argument(
        '--size', type=int, default=128, help='height and width in pixels; default: 128'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the drawing; default: 0')
    return parser.parse_args()


@user_errors()
def main():
    args = parse_args()
    try:
        drawn = make_shapes(args.root, args.train, args.val, args.size, args.seed, show_progress)
    except (ValueError, OSError) as error:
        raise UserError(error) from error
    print(
        f'{args.root}: {"drawn" if drawn else "already there"}, '
        f'{args.train} training and {args.val} validation images'
    )


if __name__ == '__main__':
    main()
