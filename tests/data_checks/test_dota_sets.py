"""A set in DOTA's format that cannot be trained ends in one line before anything is built."""

import shutil
from importlib.util import find_spec

import pytest
from mmengine.config import Config

from sparx_mm.data_checks import check_data
from sparx_mm.errors import UserError

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(find_spec('mmrotate') is None, reason='needs mmrotate'),
]
BOX = '1 1 9 1 9 9 1 9'


@pytest.fixture
def root(dota, tmp_path):
    return shutil.copytree(dota, tmp_path / 'dota')


def check(root, classes=('plane', 'ship'), **kwargs):
    node = dict(
        type='DOTADataset',
        data_root=str(root),
        ann_file='trainval/annfiles/',
        data_prefix=dict(img_path='trainval/images/'),
        metainfo=dict(classes=classes),
    )
    cfg = dict(default_scope='mmrotate', train_dataloader=dict(dataset={**node, **kwargs}))
    return check_data(Config(cfg), ['train'])


def test_what_is_trained_is_one_line(root):
    assert check(root) == [
        f'{root}/trainval/annfiles/: 4 images, 8 objects of 2 classes; 0 left out'
    ]
    # DOTA's own 15 are among them; a test set has no files
    _, absent = check(root, metainfo=None)
    assert '13 of 15 classes' in absent
    check(root, ann_file='')


@pytest.mark.tries('a COCO')
@pytest.mark.parametrize(
    'text,message',
    [
        ('imagesource:GoogleEarth\n', "'imagesource:GoogleEarth' is not eight coordinates, a cl"),
        (f'{BOX} plane\n', 'is not eight coordinates, a class and a difficulty: cut'),
        (f'{BOX.replace("9", "x")} plane 0\n', 'is not eight coordinates'),
        (f'{BOX.replace("9", "nan")} plane 0\n', 'is not eight coordinates'),
        (f'{BOX} plane easy\n', 'is not eight coordinates, a class and a difficulty: cut'),
        (f'{BOX} Plane 0\n', r"'Plane' is no class .did you mean 'plane'.. of train_dataloader"),
        (f'{BOX} harbor 0\n', r"'harbor' is no class of .*, \('plane', 'ship'\): give"),
    ],
)
def test_lines_that_are_no_box(root, text, message):
    path = root / 'trainval/annfiles/P0002.txt'
    path.write_text(f'{BOX} ship 0\n{text}')
    with pytest.raises(UserError, match=f'^{path}, line 2: .*{message}'):
        check(root)


@pytest.mark.tries('a COCO')
def test_a_file_that_is_not_text(root):
    path = root / 'trainval/annfiles/P0002.txt'
    path.write_bytes(f'{BOX} schüssel 0\n'.encode('latin-1'))
    with pytest.raises(UserError, match=f'^{path} is not a text file in UTF-8: save'):
        check(root)


@pytest.mark.tries('a COCO')
def test_empty_files(root):
    for path in (root / 'trainval/annfiles').iterdir():
        path.write_text('')
    with pytest.raises(UserError, match='no object is trained: its 4 files are empty'):
        check(root)
    check(root, test_mode=True)


def test_a_folder_without_annotations(root):
    with pytest.raises(UserError, match='has no .txt file: give the folder .* as train_dataloader'):
        check(root, ann_file='trainval/')


@pytest.mark.tries('an image or a label map that is missing')
def test_missing_images(root):
    (root / 'trainval/images/P0001.png').unlink()
    with pytest.raises(UserError, match='1 of 4 images are missing, .*P0001.png; put them there'):
        check(root)
    with pytest.raises(UserError, match='4 of 4 images .* ending as train_dataloader.dataset.img'):
        check(root, img_suffix='tif')
