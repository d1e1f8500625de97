"""Drawn towns: what is drawn is what is labelled, and the same seed draws the same."""

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope

from sparx_mm.demo import AERIAL_CLASSES, draw_aerial, make_aerial
from sparx_mm.demo.aerial import CAR, GRASS, POND, ROOF, STREET, TREE

SIZE = 48


def _draw(seed, size=128):
    return draw_aerial(np.random.default_rng(seed), size)


def test_every_class_occurs():
    labels = np.concatenate([_draw(i).label_map.ravel() for i in range(8)])
    shares = np.bincount(labels, minlength=7) / labels.size
    assert shares[0] == 0 and len(shares) == 7
    assert shares[[STREET, ROOF, GRASS, TREE]].min() > 0.05
    assert shares[[CAR, POND]].min() > 0.001


@pytest.mark.parametrize('seed', range(3))
def test_labels_lie_on_what_is_drawn(seed):
    image, labels = _draw(seed, 256)
    assert image.shape == (256, 256, 3) and image.dtype == labels.dtype == np.uint8
    mean = {label: image[labels == label].mean(0) for label in (STREET, GRASS, TREE)}
    # BGR: streets are gray, grass and trees green, and trees the darker ones
    assert np.ptp(mean[STREET]) < 15
    for label in (GRASS, TREE):
        assert mean[label].argmax() == 1
    assert mean[TREE].sum() < mean[GRASS].sum()
    # cars stand on streets: what is around them is mostly that
    cars = (labels == CAR).astype(np.uint8)
    around = (cv2.dilate(cars, np.ones((3, 3))) - cars).astype(bool)
    assert (labels[around] == STREET).mean() > 0.7


def test_lengths_are_in_pixels_whatever_the_size():
    """As many cars for each pixel of a large scene as of small images."""
    small = np.mean([(_draw(i, 64).label_map == TREE).mean() for i in range(30)])
    large = (_draw(0, 512).label_map == TREE).mean()
    assert large == pytest.approx(small, rel=0.4)


def test_the_set_is_potsdam_to_mmseg(tmp_path):
    root = tmp_path / 'deep/aerial'
    assert make_aerial(str(root), 3, 2, SIZE, seed=1)
    assert not make_aerial(str(root), 3, 2, SIZE, seed=1)
    init_default_scope('mmseg')
    prefix = dict(img_path='img_dir/train', seg_map_path='ann_dir/train')
    steps = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    dataset = DATASETS.build(
        dict(type='PotsdamDataset', data_root=str(root), data_prefix=prefix, pipeline=steps)
    )
    assert len(dataset) == 3 and dataset.metainfo['classes'] == AERIAL_CLASSES
    for index in range(3):
        drawn = draw_aerial(np.random.default_rng((1, 0, index)), SIZE)
        sample = dataset[index]
        assert np.array_equal(sample['img'], drawn.image)
        assert np.array_equal(sample['gt_seg_map'], drawn.label_map - 1)
    (root / 'ann_dir/val/mine.png').touch()
    with pytest.raises(FileExistsError, match=r'ann_dir/val/mine\.png'):
        make_aerial(str(root), 2, 2, SIZE)


def test_mistakes(tmp_path):
    with pytest.raises(ValueError, match='at least 1'):
        make_aerial(str(tmp_path / 'a'), 0)
