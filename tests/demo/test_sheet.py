"""Images in rows, and the legend below them."""

import numpy as np
import pytest

from sparx_mm.demo.sheet import GAP, HEADER, LINE, draw_legend, draw_row, enlarge


@pytest.mark.parametrize(
    'shape,expected',
    [
        ((64, 64), (96, 96)),
        ((512, 683), (96, 128)),
        ((33, 47), (96, 137)),
        ((1, 1), (96, 96)),
        # too long for a row: three times as wide as high, and lower
        ((7, 900), (2, 288)),
        ((900, 7), (96, 1)),
    ],
)
def test_enlarge(shape, expected):
    image = np.full((*shape, 3), 7, np.uint8)
    large = enlarge(image, 96)
    assert large.shape == (*expected, 3)
    assert (large == 7).all()


def test_row_aligns_images_of_different_sizes():
    tiles = [np.zeros((h, w, 3), np.uint8) for h, w in ((50, 40), (20, 70))]
    row = draw_row('title', tiles, 50)
    assert row.shape == (HEADER + 50 + GAP, 40 + GAP + 70 + GAP, 3)
    black = (row[HEADER:] == 0).all(2)
    expected = np.zeros(black.shape, bool)
    expected[:50, :40] = expected[:20, 40 + GAP : 110 + GAP] = True
    assert (black == expected).all()
    assert (row[:HEADER] < 255).any()


def test_legend_has_every_color_within_its_width():
    colors = [(10 * i, 200, 5 * i) for i in range(20)]
    entries = [(f'class {i}', color) for i, color in enumerate(colors)]
    wide, narrow = (draw_legend(entries, width) for width in (4000, 150))
    assert wide.shape[1] == 4000 and narrow.shape[1] == 150
    # one line, and one for each entry
    assert wide.shape[0] == LINE + 6 and narrow.shape[0] == 20 * LINE + 6
    for legend in (wide, narrow):
        places = [(legend == color).all(2).nonzero() for color in colors]
        # in reading order
        assert places == sorted(places, key=lambda p: (p[0][0], p[1][0]))
        for color, (rows, _) in zip(colors, places):
            assert len(rows) > 200, color
