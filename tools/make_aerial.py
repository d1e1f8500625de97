"""Draw aerial images with label maps: python tools/make_aerial.py DIR."""

import openmp  # noqa: F401

from sparx_mm.demo import make_aerial
from sparx_mm.errors import user_errors
from sparx_mm.run import draw_set


@user_errors()
def main():
    draw_set(make_aerial, "Draw towns from above, in the layout of mmseg's Potsdam", 'data/aerial')


if __name__ == '__main__':
    main()
