"""A label map that cannot be read ends in one line with its name."""

import cv2
import numpy as np
import pytest
from mmengine.registry import TRANSFORMS, DefaultScope
from mmseg.datasets import BaseSegDataset

from sparx_mm.engine.transforms.load_image import install as install_images
from sparx_mm.engine.transforms.load_seg_map import LoadCheckedSegMap, install
from sparx_mm.errors import UserError

pytestmark = pytest.mark.stack
PNG = cv2.imencode('.png', np.eye(40, dtype=np.uint8))[1].tobytes()


def load(path, sample=None, **kwargs):
    install()
    loader = TRANSFORMS.build(dict(type='LoadAnnotations', _scope_='mmseg', **kwargs))
    assert isinstance(loader, LoadCheckedSegMap)
    results = dict(seg_map_path=str(path), reduce_zero_label=False, seg_fields=[])
    return loader({**results, **(sample or {})})


@pytest.mark.tries('a label map that cannot be read')
@pytest.mark.parametrize('backend', ['pillow', 'cv2'])
@pytest.mark.parametrize(
    'content,message',
    [
        (None, 'does not exist: put it there'),
        (b'', r'is empty \(0 bytes\)'),
        (PNG[:60], 'is truncated, damaged or no image'),
        (
            b'<html>',
            'is no image but a text such as HTML: put the whole label map there; tools/check_data.py',
        ),
    ],
    ids=['missing', 'empty', 'truncated', 'text'],
)
def test_files_that_are_no_label_map(tmp_path, content, message, backend):
    path = tmp_path / 'a.png'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f'^label map {path} {message}'):
        load(path, imdecode_backend=backend)
    assert load(path, dict(ignore_empty=True), imdecode_backend=backend) is None


def test_files_that_are_one(tmp_path):
    path = tmp_path / 'a.png'
    path.write_bytes(PNG)
    assert np.array_equal(load(path)['gt_seg_map'], np.eye(40))
    # mmseg's own complaint is not the file's
    with pytest.raises(AssertionError, match='reduce_zero_label'):
        load(path, reduce_zero_label=True)


@pytest.mark.parametrize(
    'value,label,sample',
    [
        (3, 3, {}),
        (3, 2, dict(reduce_zero_label=True)),
        (0, 255, dict(reduce_zero_label=True)),
        (255, 255, dict(reduce_zero_label=True)),
        (3, 7, dict(reduce_zero_label=True, label_map={2: 7, 7: 1})),
    ],
)
def test_a_single_pixel(tmp_path, value, label, sample):
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), np.full((1, 1), value, np.uint8))
    results = load(path, dict(sample, ori_shape=(1, 1)))
    assert results['gt_seg_map'].tolist() == [[label]]
    assert results['seg_fields'] == ['gt_seg_map']
    # more pixels take mmseg's way
    cv2.imwrite(str(path), np.full((2, 1), value, np.uint8))
    assert load(path, dict(sample, ori_shape=(2, 1)))['gt_seg_map'].tolist() == [label, label]


def test_skipped_maps_are_counted(tmp_path):
    """mmseg's data sets take another sample where images are skipped too."""
    install_images('mmseg')
    install()
    for i, content in enumerate((PNG, PNG[:60], b'')):
        (tmp_path / f'{i}.jpg').write_bytes(PNG)
        (tmp_path / f'{i}.png').write_bytes(content)
    steps = [dict(type='LoadImageFromFile', ignore_empty=True), dict(type='LoadAnnotations')]
    folders = dict(img_path=str(tmp_path), seg_map_path=str(tmp_path))
    with DefaultScope.overwrite_default_scope('mmseg'):
        images = BaseSegDataset(data_prefix=folders, pipeline=steps)
        for i in range(3):
            assert images[i]['seg_map_path'] == f'{tmp_path}/0.png'
    assert int(images.pipeline.transforms[1].skips.total) >= 2
    images.pipeline.transforms[0].ignore_empty = False
    with pytest.raises(UserError, match='1.png is truncated'):
        images[1]
