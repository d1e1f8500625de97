"""LVIS and panoptic files are checked as far as their format is COCO's."""

import json

import pytest
from mmengine.config import Config

from sparx_mm.data_checks import check_data
from sparx_mm.demo import CLASSES
from sparx_mm.errors import UserError

pytestmark = pytest.mark.stack
HOST = 'http://images.cocodataset.org/'


@pytest.fixture
def content(shapes):
    """The content of a drawn annotation file."""
    return json.loads((shapes / 'annotations/instances_train.json').read_text())


@pytest.fixture
def check(shapes, tmp_path):
    """Write a file and check a config that reads it."""

    def check(content, kind, folder=shapes, split='train', **kwargs):
        (tmp_path / 'a.json').write_text(json.dumps(content))
        panoptic = 'Panoptic' in kind
        loader = 'LoadPanopticAnnotations' if panoptic else 'LoadAnnotations'
        node = dict(
            type=kind,
            ann_file=f'{tmp_path}/a.json',
            data_prefix=dict(img=str(folder), seg=f'{tmp_path}/maps' if panoptic else ''),
            pipeline=[dict(type=loader, with_bbox=True, with_mask=True)],
        )
        node.update(kwargs)
        if panoptic:
            (tmp_path / 'maps').mkdir(exist_ok=True)
        loader = {f'{split}_dataloader': dict(dataset=node)}
        return check_data(Config(dict(loader, default_scope='mmdet')), [split])

    return check


def _lvis(content):
    for image in content['images']:
        image['coco_url'] = f'{HOST}train/{image.pop("file_name")}'
    return content


def _panoptic(content):
    objects = content['annotations']
    content['annotations'] = [
        dict(
            image_id=image['id'], segments_info=[a for a in objects if a['image_id'] == image['id']]
        )
        for image in content['images']
    ]
    for i, category in enumerate(content['categories']):
        category['isthing'] = int(i < 4)
    return content


def test_a_whole_lvis_file(check, content):
    """mmdet finds an image by its address, and takes all categories of the file."""
    total = len(content['annotations'])
    (line,) = check(_lvis(content), 'LVISV1Dataset', metainfo=dict(classes=CLASSES))
    assert f'a.json: 4 images, {total} objects of ' in line
    # the type's own 1203 names are taken as they are
    check(content, 'LVISV1Dataset')


def test_lvis_files_of_the_first_version(check, content, shapes, tmp_path):
    """Their images have names of 2014."""
    for i, image in enumerate(content['images']):
        path = tmp_path / f'{i:012d}.jpg'
        path.write_bytes((shapes / 'train' / image['file_name']).read_bytes())
        image['file_name'] = f'COCO_train2014_{path.name}'
    check(content, 'LVISV05Dataset', folder=tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=f'1 of 4 images are missing, the first is {path}'):
        check(content, 'LVISV05Dataset', folder=tmp_path)


@pytest.mark.parametrize(
    'change,message',
    [
        (lambda c: c.pop('categories'), "has no list 'categories'"),
        (lambda c: c['images'][1].pop('coco_url'), r"images\[1\] has no value 'coco_url'"),
        (lambda c: c['annotations'][3].pop('area'), "annotation 4 of image .* has no 'area'"),
        (
            lambda c: c['annotations'].append(dict(c['annotations'][0])),
            'annotations of the same id',
        ),
        (lambda c: c['images'][0].update(coco_url=f'{HOST}no.jpg'), '1 of 4 images are missing'),
        (lambda c: c['categories'].reverse(), 'another order than the categories'),
        (
            lambda c: c['categories'].append(dict(id=9, name='moon')),
            r"classes has 6 of the 7 categories of \S*a.json, .* give all, classes=\(.*, 'moon'\), or",
        ),
    ],
)
def test_faults_of_lvis_files(check, content, change, message):
    change(_lvis(content))
    with pytest.raises(UserError, match=message):
        check(content, 'LVISV1Dataset', metainfo=dict(classes=CLASSES))


def test_lvis_classes_that_are_part_of_the_files(check, content):
    with pytest.raises(UserError, match='classes has 2 of the 6 categories'):
        check(_lvis(content), 'LVISV1Dataset', metainfo=dict(classes=('square', 'circle')))
    # the remedy
    content['categories'] = [c for c in content['categories'] if c['name'] in CLASSES[:2]]
    check(content, 'LVISV1Dataset', metainfo=dict(classes=CLASSES[:2]))


def _maps(content, tmp_path):
    (tmp_path / 'maps').mkdir(exist_ok=True)
    for image in content['images']:
        (tmp_path / 'maps' / image['file_name']).touch()
    return content


OWN = dict(classes=CLASSES, thing_classes=CLASSES[:4], stuff_classes=CLASSES[4:])


def test_a_whole_panoptic_file(check, content, shapes, tmp_path):
    total = len(content['annotations'])
    _maps(_panoptic(content), tmp_path)
    # ids of segments may be those of another image
    for annotation in content['annotations']:
        for i, segment in enumerate(annotation['segments_info']):
            segment['id'] = i
    (line,) = check(content, 'CocoPanopticDataset', shapes / 'train', metainfo=OWN)
    assert f'a.json: 4 images, {total} segments of ' in line
    # images whose segments nobody reads
    del content['annotations']
    check(content, 'CocoPanopticDataset', shapes / 'train', split='test', pipeline=[])


def _each_segment(content, **values):
    for annotation in content['annotations']:
        for segment in annotation['segments_info']:
            segment.update(values)


@pytest.mark.parametrize(
    'change,message',
    [
        (lambda c: c['annotations'][0].pop('segments_info'), "no value 'segments_info'"),
        (lambda c: c['categories'][0].pop('isthing'), r"categories\[0\] has no value 'isthing'"),
        (lambda c: c['annotations'][0]['segments_info'][0].pop('area'), "no 'area'"),
        (lambda c: c['annotations'][1]['segments_info'][0].pop('id'), r'\[1\].segments_info\[0\]'),
        (lambda c: c['annotations'][1]['segments_info'][0].update(bbox=[1, 2]), 'no bbox of four'),
        (
            lambda c: c['annotations'][1].update(segments_info='a'),
            r'\[1\].segments_info is no list',
        ),
        (lambda c: c['annotations'][0]['segments_info'][0].update(category_id=9), 'of category 9'),
        (lambda c: [a.update(segments_info=[]) for a in c['annotations']], 'no segment is trained'),
        (lambda c: _each_segment(c, area=0, category_id=9), 'no segment is trained'),
        (lambda c: [a.update(image_id=9) for a in c['annotations']], 'no segment is trained'),
        (lambda c: c['images'][2].update(id=1), r'images of the same id: 1 \(2 times\)'),
        (lambda c: c['images'][2].update(file_name='no.png'), '1 of 4 images are missing'),
        (lambda c: c['categories'].reverse(), 'another order than the categories'),
        (lambda c: c['categories'][1].update(name='moon'), "'square' is no category"),
    ],
)
def test_faults_of_panoptic_files(check, content, shapes, tmp_path, change, message):
    change(_maps(_panoptic(content), tmp_path))
    with pytest.raises(UserError, match=message):
        check(content, 'CocoPanopticDataset', shapes / 'train', metainfo=OWN)


def test_classes_of_a_type_that_the_file_does_not_have(check, content, shapes, tmp_path):
    _maps(_panoptic(content), tmp_path)
    with pytest.raises(UserError, match=r"of category \d, '\w+', which is no class of the set"):
        check(content, 'CocoPanopticDataset', shapes / 'train')


def test_label_maps_are_missing(check, content, shapes, tmp_path):
    name = _maps(_panoptic(content), tmp_path)['images'][3]['file_name']
    (tmp_path / 'maps' / name).unlink()
    with pytest.raises(UserError, match=f'1 of 4 label maps are missing, .*/maps/{name}; put'):
        check(content, 'CocoPanopticDataset', shapes / 'train', metainfo=OWN)
