"""List the patches of an aerial set by their areas: python tools/list_areas.py vaihingen."""

import openmp  # noqa: F401

from sparx_mm.data_checks.segmentation.areas import AREA_LISTS, write_area_lists
from sparx_mm.errors import user_errors
from sparx_mm.run import ArgumentParser


def parse_args():
    parser = ArgumentParser(
        description="List the patches that mmseg's converter cut, for training and for testing, "
        'in splits/*.txt of the set'
    )
    parser.add_argument('name', choices=sorted(AREA_LISTS), help='the set')
    parser.add_argument('--root', help='its folder; default: data/NAME')
    return parser.parse_args()


@user_errors()
def main():
    args = parse_args()
    for path, number in write_area_lists(args.name, args.root).items():
        print(f'{path}: {number} patches')


if __name__ == '__main__':
    main()
