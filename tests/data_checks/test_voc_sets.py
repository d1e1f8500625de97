"""A set in VOC's format that cannot be trained ends in one line before anything is built."""

import pytest
from mmengine.config import Config

from sparx_mm.data_checks import check_data
from sparx_mm.errors import UserError

pytestmark = pytest.mark.stack
OBJECT = (
    '<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax>'
    '</bndbox></object>'
)


@pytest.fixture
def check(tmp_path):
    """Write a set of two images and check a config that reads it."""
    for folder in ('JPEGImages', 'Annotations'):
        (tmp_path / folder).mkdir()
    for name in ('a', 'b'):
        write(tmp_path, name, OBJECT.format('cat', '1.0') + OBJECT.format('dog', 2))
        (tmp_path / f'JPEGImages/{name}.jpg').touch()
    (tmp_path / 'list.txt').write_text('a\nb\n')

    def check(classes=('cat', 'dog'), **kwargs):
        node = dict(
            type='VOCDataset',
            data_root=str(tmp_path),
            ann_file='list.txt',
            data_prefix=dict(sub_data_root=''),
            filter_cfg=dict(filter_empty_gt=True),
            metainfo=dict(classes=classes),
        )
        cfg = dict(default_scope='mmdet', train_dataloader=dict(dataset={**node, **kwargs}))
        return check_data(Config(cfg), ['train'])

    return check


def write(root, name, text):
    (root / f'Annotations/{name}.xml').write_text(f'<annotation>{text}</annotation>')


def test_what_is_trained_is_one_line(check, tmp_path):
    path = f'{tmp_path}/list.txt'
    assert check() == [f'{path}: 2 images, 4 objects of 2 classes; 0 left out']
    assert check(classes=('dog',)) == [
        f'{path}: 2 images, 2 objects of 1 classes; 2 left out (of other classes)'
    ]


@pytest.mark.tries('an image or a label map that is missing')
def test_images_of_another_ending(check, tmp_path):
    (tmp_path / 'JPEGImages/b.jpg').rename(tmp_path / 'JPEGImages/b.png')
    with pytest.raises(UserError, match='1 of 2 images are missing, .*/b.jpg, but there is b.png'):
        check()
    (tmp_path / 'JPEGImages/b.png').unlink()
    with pytest.raises(UserError, match='1 of 2 images are missing, .*/b.jpg; put them there'):
        check()


@pytest.mark.tries('a COCO')
def test_missing_annotation_files(check, tmp_path):
    (tmp_path / 'Annotations/a.xml').unlink()
    with pytest.raises(UserError, match='1 of 2 annotation files are missing, .*/a.xml; put'):
        check()
    (tmp_path / 'list.txt').write_text('')
    for raw, message in (
        (b'', 'lists no image'),
        (b'\xef\xbb\xbfa\n', 'begins with a byte order mark'),
        (b'caf\xe9\n', 'is not UTF-8'),
    ):
        (tmp_path / 'list.txt').write_bytes(raw)
        with pytest.raises(UserError, match=f'list.txt {message}'):
            check()


@pytest.mark.tries('a COCO')
@pytest.mark.parametrize(
    'text,message',
    [
        ('<object>', 'is not XML: mismatched tag'),
        ('<object></object>', 'object 1 has no name: give one'),
        (OBJECT.format('cat', 'nan'), r"object 1 .cat. has the xmin 'nan': give a number"),
        ('<object><name>cat</name></object>', r'object 1 .cat. has the xmin None: give'),
    ],
)
def test_annotation_files_that_cannot_be_read(check, tmp_path, text, message):
    write(tmp_path, 'b', text)
    with pytest.raises(UserError, match=f'{tmp_path}/Annotations/b.xml:? {message}'):
        check()


def test_objects_of_other_classes_need_no_box(check, tmp_path):
    write(tmp_path, 'b', '<object><name>bird</name></object><object><name/></object>')
    (line,) = check()
    assert line.endswith('2 images, 2 objects of 2 classes; 2 left out (of other classes)')


def test_classes_of_alike_names(check):
    _, line = check(classes=('cat', 'hog'))
    assert '1 of 2 classes' in line and 'hog' in line


def test_classes_that_are_not_the_files(check):
    with pytest.raises(UserError, match="is a 'Dog', and 2 are a 'dog': give the names"):
        check(classes=('cat', 'Dog'))
    with pytest.raises(UserError, match=r"its files have \('cat', 'dog'\), and .* \('horse',\)"):
        check(classes=('horse',))
    # VOC's own 20 are among them
    check(metainfo=None)
    # its files are read in another way
    check(type='WIDERFaceDataset', classes=('Dog',))
