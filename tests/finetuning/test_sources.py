"""Annotations of other formats keep every pixel."""

import math

import pytest
from own_data import boxes_of, labelme, save_image, voc, voc_object
from PIL import Image
from pycocotools import mask as coco_mask

from sparx_mm.errors import UserError
from sparx_mm.finetuning.sources import (
    align_classes,
    has_masks,
    keep_classes,
    read_annotations,
    yaml_folders,
)
from sparx_mm.finetuning.sources.yolo_names import read_names


def read(images, folder, **kwargs):
    return read_annotations(str(images), str(folder), **kwargs)


def test_corners_of_voc_count_from_one(images, write):
    whole = voc_object('cat', 1, 1, 40, 30)
    pixel = voc_object('dog', 40, 30, 40, 30, difficult=1)
    zero_based = voc_object('cat', 0, 0, 10, 10)
    folder = write({'a.xml': voc(whole, pixel), 'sub/b.xml': voc(zero_based)})
    content, kind = read(images, folder)
    assert kind == 'VOC'
    assert boxes_of(content) == {
        'a.png': [('cat', (0, 0, 40, 30)), ('dog', (39, 29, 1, 1))],
        'sub/b.jpg': [('cat', (0, 0, 10, 10))],
    }
    assert [one['iscrowd'] for one in content.coco['annotations']] == [0, 1, 0]
    assert not has_masks(content.coco)


def test_centers_and_polygons_of_yolo(images, write):
    folder = write(
        {
            'classes.txt': 'cat\ndog\n',
            # columns 10 to 30, rows 6 to 12 of 40 x 30
            'a.txt': '1 0.5 0.3 0.5 0.2\n',
            'sub/b.txt': '0 0.25 0.1 0.75 0.1 0.75 0.5\n\n',
        }
    )
    content, kind = read(images, folder)
    assert kind == 'YOLO'
    assert boxes_of(content) == {
        'a.png': [('dog', (10, 6, 20, 6))],
        'sub/b.jpg': [('cat', (10, 3, 20, 12))],
    }
    # half of its box
    assert content.coco['annotations'][1]['area'] == pytest.approx(120)


def test_yolo_by_its_yaml(tmp_path):
    for split in ('train', 'valid'):
        save_image(tmp_path / split / 'images/a.png')
        (tmp_path / split / 'labels').mkdir()
        (tmp_path / split / 'labels/a.txt').write_text('0 0.5 0.5 1 1\n')
    path = tmp_path / 'data.yaml'
    # as Roboflow writes it
    path.write_text('train: ../train/images\nval: ../valid/images\nnames: {0: cat, 1: dog}\n')
    for split, folder in (('train', 'train'), ('val', 'valid')):
        content, _ = read_annotations(None, str(path), split=split)
        assert content.folder == str(tmp_path / folder / 'images')
        assert boxes_of(content) == {'a.png': [('cat', (0, 0, 40, 30))]}
    path.write_text('train: train/images\nnames: [cat, dog]\n')
    with pytest.raises(UserError, match='data.yaml has no val: give the folder of its images'):
        read_annotations(None, str(path), split='val')
    # the names are those of the file, whose name the message has
    (tmp_path / 'train/labels/a.txt').write_text('2 0.5 0.5 1 1\n')
    with pytest.raises(UserError, match=r'the class 2 is outside the 2 classes of /.*data\.yaml,'):
        read_annotations(None, str(path))
    with pytest.raises(UserError, match='outside the 1 classes of --classes,'):
        read_annotations(None, str(path), classes=['cat'])


def test_shapes_of_labelme(images, write):
    folder = write(
        {
            'a.json': labelme(
                # drawn from the lower right
                ('cat', 'rectangle', [[30, 20], [10, 5]], None),
                ('dog', 'circle', [[20, 15], [23, 19]], None),
                ('dog', 'line', [[0, 0], [1, 1]], None),
            ),
            'b.json': dict(
                # one object of two parts
                labelme(
                    ('cat', 'polygon', [[0, 0], [4, 0], [4, 4]], 7),
                    ('cat', 'polygon', [[8, 8], [10, 8], [10, 12], [8, 12]], 7),
                ),
                imagePath='..\\images\\sub\\b.jpg',
            ),
        }
    )
    content, kind = read(images, folder)
    assert kind == 'LabelMe'
    assert boxes_of(content) == {
        'a.png': [('cat', (10, 5, 20, 15)), ('dog', (15, 10, 10, 10))],
        'sub/b.jpg': [('cat', (0, 0, 10, 12))],
    }
    areas = [one['area'] for one in content.coco['annotations']]
    assert areas[0] == 300 and areas[2] == 16
    assert areas[1] == pytest.approx(25 * math.pi, rel=0.002)
    assert content.notes == ['shapes left out, because they have no area: 1 line']
    # the rectangle has none
    assert not has_masks(content.coco)
    circle = content.coco['annotations'][1]['segmentation']
    (mask,) = coco_mask.frPyObjects(circle, 30, 40)
    assert coco_mask.toBbox(mask).tolist() == [15, 10, 10, 10]


def test_turned_rectangles_and_masks_of_labelme(images, write):
    corners = [[10, 5], [20, 5], [20, 15], [10, 15]]
    shapes = (
        ('cat', 'rotation', corners, [1]),
        ('dog', 'oriented_rectangle', corners, None),
        ('dog', 'mask', [[3, 4], [8, 9]], None),
    )
    content, _ = read(images, write({'a.json': labelme(*shapes)}))
    assert boxes_of(content)['a.png'] == [
        ('cat', (10, 5, 10, 10)),
        ('dog', (10, 5, 10, 10)),
        ('dog', (3, 4, 5, 5)),
    ]
    assert [bool(one.get('segmentation')) for one in content.coco['annotations']] == [
        True,
        True,
        False,
    ]
    assert content.notes == ['images left out, because they have no JSON file: 1']


def test_label_files_that_are_called_as_lists(images, write):
    (images / 'a.png').rename(images / 'train.png')
    files = {'classes.txt': 'cat\n', 'train.txt': '0 .5 .5 1 1', 'val.txt': 'x', 'readme.a.txt': ''}
    files['sub/b.txt'] = ''
    content, _ = read(images, write(files))
    assert boxes_of(content)['train.png'] == [('cat', (0, 0, 40, 30))]
    save_image(images / 'readme1.jpg')
    content, _ = read(images, write({'readme1.txt': '0 .5 .5 1 1'}))
    assert len(boxes_of(content)['readme1.jpg']) == 1


@pytest.mark.parametrize(
    'text, names',
    [
        ('names: [yes, no, 1]', ['yes', 'no', '1']),
        ('names: {0: a, "1": b}', ['a', 'b']),
        ('names:\n  - a\nval:\ntrain: 5', ['a']),
        ('names: [a]\nval: ~\nvalid: null', ['a']),
    ],
)
def test_names_are_texts(tmp_path, text, names):
    path = tmp_path / 'data.yaml'
    path.write_text(text)
    assert read_names(str(path)) == names
    assert yaml_folders(str(path), 'val') is None


def test_numbers_as_names_of_categories(images, write):
    named = [dict(id=i, name=i) for i in (1, 3)]
    content, _ = read(images, write({'c.json': coco(categories=named)}) / 'c.json')
    kept = keep_classes(content, ['3', '1'])
    assert [one['name'] for one in kept.coco['categories']] == ['3', '1']


def test_categories_of_one_name(images, write):
    twice = [dict(id=i, name=name) for i, name in ((3, 'cat'), (1, 'cat'), (8, 'fish'))]
    # of a super-category without objects
    objects = [one for one in coco()['annotations'] if one['category_id'] == 1]
    content, _ = read(
        images, write({'c.json': coco(categories=twice, annotations=objects)}) / 'c.json'
    )
    kept = keep_classes(content)
    assert [(one['id'], one['name']) for one in kept.coco['categories']] == [(1, 'cat')]
    assert len(kept.coco['annotations']) == 1
    assert keep_classes(content, ['cat']).coco == kept.coco
    with pytest.raises(UserError, match='--classes names a class twice'):
        keep_classes(content, ['cat', 'cat'])
    content, _ = read(images, write({'c.json': coco(categories=twice)}) / 'c.json')
    with pytest.raises(UserError, match="two classes of the name 'cat', of the ids 3 and 1"):
        keep_classes(content)


def test_an_image_turned_by_exif_has_its_loaded_size(images, write):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (40, 30)).save(images / 'a.jpg', exif=exif)
    (images / 'a.png').unlink()
    folder = write({'classes.txt': 'cat\n', 'a.txt': '0 0.5 0.5 1 1\n'})
    content, _ = read(images, folder)
    assert boxes_of(content)['a.jpg'] == [('cat', (0, 0, 30, 40))]


def coco(**changes):
    sized = dict(width=40, height=30)
    content = dict(
        images=[dict(id=5, file_name='a.png', **sized), dict(id=9, file_name='sub/b.jpg', **sized)],
        categories=[dict(id=i, name=name) for i, name in ((3, 'dog'), (1, 'cat'), (8, 'fish'))],
        annotations=[
            dict(id=1, image_id=5, category_id=1, bbox=[1, 2, 3, 4], area=12, iscrowd=0),
            dict(id=2, image_id=9, category_id=3, bbox=[5, 6, 7, 8], area=56, iscrowd=0),
        ],
    )
    return {**content, **changes}


def test_classes_of_coco_are_those_that_occur(images, write):
    path = write({'coco.json': coco()}) / 'coco.json'
    content, kind = read(images, path)
    assert kind == 'COCO'
    kept = keep_classes(content)
    assert [one['name'] for one in kept.coco['categories']] == ['dog', 'cat']
    assert kept.notes == ["classes left out, because no object has them: ('fish',)"]
    chosen = keep_classes(content, ['cat'])
    assert boxes_of(chosen) == {'a.png': [('cat', (1, 2, 3, 4))], 'sub/b.jpg': []}
    with pytest.raises(UserError, match="--classes: 'bird' is no class of the annotations"):
        keep_classes(content, ['bird'])
    # a validation set is given the labels of training
    val = align_classes(content, ['fish', 'cat'])
    assert [(one['id'], one['name']) for one in val.coco['categories']] == [(1, 'fish'), (2, 'cat')]
    assert boxes_of(val) == {'a.png': [('cat', (1, 2, 3, 4))], 'sub/b.jpg': []}
    assert val.notes == ["validation objects left out, because none is trained of: ('dog',)"]


ONE = dict(id=1, image_id=5, category_id=1, bbox=[1, 2, 3, 4], area=12)


@pytest.mark.parametrize(
    'files,message',
    [
        ({}, 'holds no annotation: .xml'),
        ({'a.xml': voc(), 'b.txt': ''}, r'mixes formats: 1 .xml \(VOC\).* and 1 .txt \(YOLO\)'),
        ({'a.xml': '<annotation>'}, 'a.xml is not XML'),
        ({'a.xml': '<svg/>'}, "root is 'svg'"),
        ({'z.xml': voc()}, 'images missing: z.xml of 1 annotation files'),
        ({'a.xml': voc(voc_object('', 1, 1, 2, 2))}, 'object 1 has no name'),
        ({'a.xml': voc(voc_object('cat', 'x', 1, 2, 2))}, "object 1 has the xmin 'x'"),
        ({'a.txt': '0 0.5 0.5 1 1'}, 'no names of classes for the YOLO labels'),
        ({'classes.txt': 'cat', 'a.txt': '1 .5 .5 1 1'}, 'the class 1 is outside the 1 classes of'),
        ({'classes.txt': 'cat', 'a.txt': '0 20 15 4 4'}, r'line 1: 20 is outside \[0, 1\]'),
        ({'classes.txt': 'cat', 'a.txt': '0 .5 .5 .1 .1 .9'}, 'has 6 numbers'),
        ({'classes.txt': 'cat', 'a.txt': 'cat .5 .5 1 1'}, 'no line of numbers'),
        ({'data.yaml': 'names: []', 'a.txt': ''}, 'data.yaml names no class'),
        ({'a.json': coco()}, "is in COCO's format: give the file itself"),
        ({'a.json': {}}, 'has no list of shapes'),
        ({'a.json': labelme(('', 'polygon', [], None))}, r'shapes\[0\] has no label'),
        (
            {'a.json': labelme(('cat', 'polygon', [[1, 1]], None))},
            'a polygon that is not 3 or more',
        ),
        ({'c.json': dict(labelme(), imagePath='x.png')}, 'images missing: c.json'),
        (
            {'a.json': labelme(('cat', 'cube', [[1, 1]], None))},
            "'cat' is a cube, and read are polygon",
        ),
        (
            {'a.xml': voc(), 'val/a.xml': voc()},
            'a.xml and val/a.xml both belong to the image a.png',
        ),
        (
            {'classes.txt': 'cat', 'a.txt': '', 'val/a.txt': ''},
            'a.txt and val/a.txt both belong to the image a.png',
        ),
        (
            {'a.json': labelme(), 'val/a.json': labelme()},
            'a.json and val/a.json both belong to the image a.png',
        ),
        (
            {'a.xml': voc(voc_object('cat', 9, 1, 2, 2))},
            'object 1 ends at x 2, y 2 before it begins',
        ),
        (
            {'a.xml': '<?xml version="1.0" encoding="gb2312"?><annotation/>'},
            'export it again, in UTF-8',
        ),
        (
            {'a.xml': '<?xml version="1.0" encoding="none"?><annotation/>'},
            'export it again, in UTF-8',
        ),
        ({'classes.txt': 'a\n\nb\n', 'a.txt': ''}, 'classes.txt: line 2 is empty'),
        ({'classes.txt': 'a\nb\na', 'a.txt': ''}, "classes.txt names two classes 'a'"),
        (
            {'data.yaml': 'names: {1: a, 2: b}', 'a.txt': ''},
            'names are numbered 1, 2, and not from 0',
        ),
    ],
)
def test_bad_folders_end_in_one_line(images, write, files, message):
    folder = write({'.hidden': '', **files})
    with pytest.raises(UserError, match=message) as caught:
        read(images, folder)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'changes,message',
    [
        (dict(images=[]), 'lists no image'),
        (dict(annotations=[dict(ONE, category_id=7)]), 'has the category_id 7, which is no id in'),
        (dict(annotations=[dict(ONE, image_id=7)]), 'has the image_id 7'),
        (dict(annotations=[dict(ONE, bbox=[1, 2])]), 'has no bbox of four numbers'),
        (
            dict(images=[dict(id=5, file_name='c.png', width=4, height=3)]),
            '1 of 1 images are missing',
        ),
    ],
)
def test_bad_files_of_coco_end_in_one_line(images, write, changes, message):
    content = coco(annotations=[dict(ONE)])
    path = write({'coco.json': {**content, **changes}}) / 'coco.json'
    with pytest.raises(UserError, match=message):
        read(images, path)


def test_faults_before_there_is_a_config_name_no_tool_for_one(images, write):
    for annotations in ([dict(ONE, bbox=[1, 2])], [dict(ONE), dict(ONE)]):
        path = write({'coco.json': coco(annotations=annotations)}) / 'coco.json'
        with pytest.raises(UserError, match='leave (such annotations out|one of each)$'):
            read(images, path)


def test_masks_of_coco_are_left_to_the_check_of_the_config(images, write):
    """A detector of boxes alone trains without them."""
    masked = dict(ONE, segmentation=[[1, 2, 4, 2, 4, 6]])
    faulty = dict(masked, id=2, segmentation=dict(size=[9, 9], counts=[81]))
    crowds = [dict(ONE, id=i, iscrowd=1, ignore=i == 4) for i in (3, 4)]
    del crowds[1]['bbox']
    path = write({'coco.json': coco(annotations=[masked, faulty, *crowds])}) / 'coco.json'
    content, _ = read(images, path)
    assert has_masks(content.coco)
    masks = [one.get('segmentation') for one in content.coco['annotations']]
    # a crowd is neither trained nor counted, but mmdet looks for its mask
    assert masks[2:] == [[[1, 2, 4, 2, 4, 6, 1, 6]], None]
    assert content.notes[0] == 'crowds without a mask, for which their box is taken: 1'
    # where nothing has a mask, none is made up
    path = write({'coco.json': coco(annotations=[dict(ONE), crowds[0]])}) / 'coco.json'
    content, _ = read(images, path)
    assert not any(one.get('segmentation') for one in content.coco['annotations'])


def test_a_label_that_is_no_declared_class(images, write):
    folder = write({'a.xml': voc(voc_object('Dog', 1, 1, 2, 2))})
    with pytest.raises(
        UserError, match=r"'Dog' is none of the classes of --classes: did you mean 'dog'"
    ):
        read(images, folder, classes=['cat', 'dog'])


def test_two_images_of_one_name(images, write):
    save_image(images / 'a.jpg')
    with pytest.raises(UserError, match='holds a.jpg and a.png, and one annotation would'):
        read(images, write({'a.xml': voc()}))


def test_a_set_without_objects(images, write):
    content, _ = read(images, write({'a.xml': voc()}))
    with pytest.raises(UserError, match='no object is annotated in the 1 images'):
        keep_classes(content)
