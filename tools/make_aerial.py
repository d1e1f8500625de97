"""Draw aerial images with label maps: python tools/make_aerial.py DIR."""

import openmp  # noqa: F401

from sparx_mm.demo import make_aerial
from sparx_mm.errors import UserError, user_errors
from sparx_mm.run import ArgumentParser, show_progress


def parse_args():
    parser = ArgumentParser(description="Draw towns from above, in the layout of mmseg's Potsdam")
    add = parser.add_argument
    add('root', nargs='?', default='data/aerial', help='folder of the set; default: data/aerial')
    add('--train', type=int, default=400, metavar='N', help='training images; default: 400')
    add('--val', type=int, default=100, metavar='N', help='validation images; default: 100')
    add('--size', type=int, default=128, help='height and width in pixels; default: 128')
    add('--seed', type=int, default=0, help='seed of the drawing; default: 0')
    return parser.parse_args()


@user_errors()
def main():
    args = parse_args()
    try:
        drawn = make_aerial(args.root, args.train, args.val, args.size, args.seed, show_progress)
    except (ValueError, OSError) as error:
        raise UserError(error) from error
    print(
        f'{args.root}: {"drawn" if drawn else "already there"}, '
        f'{args.train} training and {args.val} validation images'
    )


if __name__ == '__main__':
    main()
