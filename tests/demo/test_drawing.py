"""One drawn image: shapes that cover each other and can be recognised."""

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from sparx_mm.demo import CLASSES, draw_sample, drawing

SIZE = 48


def test_overlaps_occur():
    samples = [draw_sample(np.random.default_rng(i), SIZE) for i in range(40)]
    boxes = [
        np.array([cv2.boundingRect(m.astype(np.uint8)) for m in s.masks], float) for s in samples
    ]
    # the boxes of different shapes meet in a fair part of the images
    overlaps = [(mask_utils.iou(b, b, [0] * len(b)) > 0).sum() > len(b) for b in boxes]
    assert 0.2 < np.mean(overlaps) < 1


def test_ring_has_a_hole():
    ring, circle = (
        drawing._draw_outline(np.random.default_rng(1), drawing.OUTLINES[name], 64)
        for name in ('ring', 'circle')
    )
    # the same place, and 0.55 ** 2 of the area cut out
    cut = 1 - ring.sum() / circle.sum()
    assert cut == pytest.approx(0.55**2, abs=0.03)


def test_later_shapes_hide_earlier_ones():
    for seed in range(60):
        sample = draw_sample(np.random.default_rng(seed), 64)
        assert len(sample.labels) == len(sample.masks) >= 1
        assert all(mask.any() for mask in sample.masks)
        assert np.sum(sample.masks, axis=0).max() == 1


def test_label_map():
    covered = set()
    for seed in range(20):
        sample = draw_sample(np.random.default_rng(seed), SIZE)
        labels = sample.label_map
        assert labels.shape == (SIZE, SIZE) and labels.dtype == np.uint8
        for label, mask in zip(sample.labels, sample.masks):
            assert (labels[mask] == label + 1).all()
        assert not labels[~np.any(sample.masks, axis=0)].any()
        covered.update(np.unique(labels))
    assert covered == set(range(len(CLASSES) + 1))
