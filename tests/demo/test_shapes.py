"""The drawn set is valid COCO and its label maps agree with it; it is
deterministic, and never half written.
"""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from without import run_without

from sparx_mm.demo import CLASSES, make_shapes

SIZE = 48


def _files(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


def _make(root, **kwargs):
    kwargs = {**dict(num_train=5, num_val=3, size=SIZE, seed=3), **kwargs}
    return make_shapes(str(root), **kwargs)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('drawn') / 'deep/shapes'
    _make(root, num_train=40)
    return root


@pytest.mark.parametrize('split,count', [('train', 40), ('val', 3)])
def test_annotations_agree_with_each_other(root, split, count):
    coco = COCO(root / f'annotations/instances_{split}.json')
    assert [c['name'] for c in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    assert len(coco.imgs) == count
    for image in coco.imgs.values():
        pixels = cv2.imread(str(root / split / image['file_name']))
        assert pixels.shape == (SIZE, SIZE, 3)
        assert (image['height'], image['width']) == (SIZE, SIZE)
        annotations = coco.imgToAnns[image['id']]
        assert annotations
        masks = np.stack([coco.annToMask(a) for a in annotations])
        # visible parts only: no pixel belongs to two shapes
        assert masks.sum(0).max() == 1
        for annotation, mask in zip(annotations, masks):
            rows, columns = np.nonzero(mask)
            left, top = columns.min(), rows.min()
            width = columns.max() + 1 - left
            height = rows.max() + 1 - top
            assert annotation['bbox'] == [left, top, width, height]
            assert annotation['area'] == mask.sum() > 0
            assert annotation['iscrowd'] == 0
            rle = annotation['segmentation']
            assert mask_utils.area(rle) == mask.sum()
    ids = [a['id'] for a in coco.anns.values()]
    assert ids == list(range(1, len(ids) + 1))


def test_every_class_occurs(root):
    coco = COCO(root / 'annotations/instances_train.json')
    assert set(coco.catToImgs) == set(coco.getCatIds())


@pytest.mark.parametrize('split', ['train', 'val'])
def test_label_maps_agree_with_the_masks(root, split):
    coco = COCO(root / f'annotations/instances_{split}.json')
    names = {image['file_name'] for image in coco.imgs.values()}
    folder = root / 'labels' / split
    assert {path.name for path in folder.iterdir()} == names
    for image in coco.imgs.values():
        labels = cv2.imread(str(folder / image['file_name']), cv2.IMREAD_UNCHANGED)
        assert labels.shape == (SIZE, SIZE) and labels.dtype == np.uint8
        rest = labels.copy()
        for annotation in coco.imgToAnns[image['id']]:
            mask = coco.annToMask(annotation) > 0
            # category k + 1 in both is CLASSES[k]
            assert (labels[mask] == annotation['category_id']).all()
            rest[mask] = 0
        assert not rest.any()


def test_same_seed_same_bytes(tmp_path):
    for name, seed in (('a', 3), ('b', 3), ('c', 4)):
        _make(tmp_path / name, seed=seed)
    a, b, c = (_files(tmp_path / name) for name in 'abc')
    assert a == b
    assert a['train/000000.png'] != c['train/000000.png']
    # the splits are drawn from different seeds
    assert a['train/000000.png'] != a['val/000000.png']


def test_a_larger_set_begins_with_the_smaller_one(tmp_path):
    _make(tmp_path / 'small')
    _make(tmp_path / 'large', num_train=7)
    small, large = (_files(tmp_path / name) for name in ('small', 'large'))
    assert all(large[f'train/{i:06d}.png'] == small[f'train/{i:06d}.png'] for i in range(5))


def test_again_does_nothing_and_other_options_redraw(tmp_path):
    root = tmp_path / 'shapes'
    assert _make(root)
    stamp = (root / 'shapes.json').stat().st_mtime_ns
    assert not _make(root)
    assert (root / 'shapes.json').stat().st_mtime_ns == stamp
    assert _make(root, num_val=2)
    assert len(list((root / 'val').iterdir())) == 2
    assert os.listdir(tmp_path) == ['shapes']


def test_a_damaged_set_is_redrawn(tmp_path):
    root = tmp_path / 'shapes'
    _make(root)
    complete = _files(root)
    (root / 'train/000001.png').unlink()
    assert _make(root)
    assert _files(root) == complete


def test_a_set_without_label_maps_is_redrawn(tmp_path):
    """As the first version drew them."""
    root = tmp_path / 'shapes'
    _make(root)
    complete = _files(root)
    shutil.rmtree(root / 'labels')
    manifest = json.loads((root / 'shapes.json').read_text())
    (root / 'shapes.json').write_text(json.dumps(dict(manifest, version=1)))
    assert _make(root)
    assert _files(root) == complete


@pytest.mark.parametrize('foreign', ['notes.txt', 'train/mine.png', 'labels/val/a.png'])
@pytest.mark.parametrize('drawn', [False, True])
def test_foreign_files_are_not_touched(tmp_path, foreign, drawn):
    root = tmp_path / 'shapes'
    if drawn:
        _make(root)
    (root / foreign).parent.mkdir(parents=True, exist_ok=True)
    (root / foreign).write_text('mine')
    before = _files(root)
    with pytest.raises(FileExistsError, match=foreign):
        _make(root, seed=9)
    assert _files(root) == before


def test_an_interrupted_run_leaves_nothing(tmp_path):

    def stop(done, total):
        assert total == 8
        if done == 6:
            raise KeyboardInterrupt

    root = tmp_path / 'shapes'
    with pytest.raises(KeyboardInterrupt):
        _make(root, progress=stop)
    assert os.listdir(tmp_path) == []
    # and an older set stays as it was
    _make(root)
    before = _files(root)
    with pytest.raises(KeyboardInterrupt):
        _make(root, seed=9, progress=stop)
    assert os.listdir(tmp_path) == ['shapes'] and _files(root) == before


@pytest.mark.parametrize(
    'wrong',
    [
        dict(num_train=0),
        dict(num_val=-1),
        dict(size=8),
        dict(seed=-1),
    ],
)
def test_wrong_numbers(tmp_path, wrong):
    with pytest.raises(ValueError, match=str(*wrong.values())):
        _make(tmp_path / 'shapes', **wrong)
    assert not (tmp_path / 'shapes').exists()


def test_manifest_tells_how_to_draw_it_again(root):
    manifest = json.loads((root / 'shapes.json').read_text())
    assert manifest['classes'] == list(CLASSES)
    assert (manifest['num_train'], manifest['num_val'], manifest['size'], manifest['seed']) == (
        40,
        3,
        SIZE,
        3,
    )


def test_without_pycocotools(tmp_path):
    done = run_without(
        ['pycocotools'],
        """
from sparx_mm.demo import CLASSES, make_shapes
from sparx_mm.errors import UserError
try:
    make_shapes('shapes', 1, 1, 32)
except UserError as error:
    print(error)
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert 'pip install pycocotools' in done.stdout
    assert os.listdir(tmp_path) == ['site']
