"""Index PNGs have the shape, names and ids of the data set's own files."""

import cv2
import numpy as np
import pytest
import torch

from sparx_mm.engine import DumpLabelMaps
from sparx_mm.errors import UserError
from sparx_mm.inference.writers import LabelMapWriter

CLASSES = tuple('abcde')


def write(tmp_path, labels, path, roots=(), **metainfo):
    """Dump one prediction and read the files that there are."""
    metric = DumpLabelMaps(str(tmp_path / 'out'), roots)
    metric.dataset_meta = {'classes': CLASSES, **metainfo}
    data = torch.tensor(labels)[None]
    metric.process({}, [dict(img_path=path, pred_sem_seg=dict(data=data))])
    assert metric.evaluate(1) == {}
    return {
        str(file.relative_to(tmp_path / 'out')): cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        for file in (tmp_path / 'out').rglob('*.png')
    }


@pytest.mark.parametrize('shape', [(1, 1), (1, 20), (20, 1), (3, 4)])
def test_shapes_stay(tmp_path, shape):
    labels = np.arange(np.prod(shape)).reshape(shape) % 5
    (found,) = write(tmp_path, labels, 'a.jpg').values()
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, labels)


def test_reduce_zero_label(tmp_path):
    (found,) = write(tmp_path, [[0, 4]], 'a.jpg', reduce_zero_label=True).values()
    assert found.tolist() == [[1, 5]]


def test_chosen_classes(tmp_path):
    # classes 3 and 1 of five, in that order
    label_map = {0: 255, 1: 1, 2: 255, 3: 0, 4: 255}
    metainfo = dict(classes=('d', 'b'), label_map=label_map, reduce_zero_label=True)
    (found,) = write(tmp_path, [[0, 1]], 'a.jpg', **metainfo).values()
    assert found.tolist() == [[4, 2]]


def test_subfolders_stay(tmp_path):
    roots = [str(tmp_path / 'images')]
    for path in ('images/x/a.jpg', 'images/y/a.jpg', 'images2/a.b.jpg'):
        found = write(tmp_path, [[1]], str(tmp_path / path), roots)
    assert sorted(found) == ['a.b.png', 'x/a.png', 'y/a.png']


@pytest.mark.parametrize('count, zero', [(257, False), (256, True)])
def test_too_many_classes_are_said(tmp_path, count, zero):
    metainfo = dict(classes=[str(i) for i in range(count)], reduce_zero_label=zero)
    with pytest.raises(UserError, match=f'those of the {count} classes go up to 256'):
        write(tmp_path, [[0, count - 1]], 'a.jpg', **metainfo)
    with pytest.raises(UserError, match=f'those of the {count} classes'):
        LabelMapWriter(str(tmp_path), metainfo)
    assert not list(tmp_path.iterdir())
    metainfo.update(classes=metainfo['classes'][1:])
    (found,) = write(tmp_path, [[0, count - 2]], 'a.jpg', **metainfo).values()
    assert found.tolist() == [[int(zero), 255]]
