"""Compressed run lengths are decoded as pycocotools compresses them."""

import numpy as np
import pytest
from pycocotools import mask

from sparx_mm.data_checks.coco.masks import decode_counts, sort_mask

pytestmark = pytest.mark.stack


@pytest.mark.parametrize('size', [(1, 1), (1, 300), (57, 64), (700, 900)])
@pytest.mark.parametrize('share', [0, 0.01, 0.5, 1])
def test_what_pycocotools_compresses(size, share):
    pixels = np.random.default_rng(0).random(size) < share
    pixels[: size[0] // 2, : size[1] // 2] = True
    runs = mask.encode(np.asfortranarray(pixels, np.uint8))
    text = runs['counts'].decode()
    ends = np.flatnonzero(np.diff(pixels.T.ravel())) + 1
    lengths = np.diff([0, *ends, pixels.size]).tolist()
    assert decode_counts(text) == [0] * bool(pixels[0, 0]) + lengths
    height, width = size
    image = dict(height=height, width=width)
    assert sort_mask(dict(size=list(size), counts=text), image) is None
    assert sort_mask(dict(size=list(size), counts=text + '1'), image) == 'mask_runs'
