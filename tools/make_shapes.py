"""Draw a data set with masks and label maps: python tools/make_shapes.py DIR."""

import openmp  # noqa: F401

from sparx_mm.demo import make_shapes
from sparx_mm.errors import user_errors
from sparx_mm.run import draw_set


@user_errors()
def main():
    draw_set(make_shapes, 'Draw shapes, with masks in COCO format and label maps', 'data/shapes')


if __name__ == '__main__':
    main()
