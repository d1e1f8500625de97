"""Every image and annotation of a config's data sets, checked alone."""

import json
import shutil

import classification
import cv2
import detection
import pytest
import rotated
import segmentation
from detection import ROOT

from sparx_mm.data_checks import check_data
from sparx_mm.data_checks.report import format_reports, report_data, write_clean
from sparx_mm.demo import CLASSES
from sparx_mm.errors import UserError
from sparx_mm.run import load_config

pytestmark = pytest.mark.stack
DETECTOR = ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py'
SEGMENTOR = ROOT / 'configs/mmseg/semantic_fpn_sparx_t.py'
ROTATED = ROOT / 'configs/mmrotate/oriented_rcnn_sparx_t_1x.py'
CLASSIFIER = ROOT / 'configs/mmpretrain/sparx_t_in1k.py'


@pytest.fixture
def root(shapes, tmp_path):
    """A set whose files may be changed."""
    return shutil.copytree(shapes, tmp_path / 'shapes')


def _faults(report):
    return [fault.text for fault in report.faults]


def test_a_set_without_a_fault(shapes):
    reports = report_data(detection.tiny_config(DETECTOR, shapes))
    keys = [f'{split}_dataloader.dataset' for split in ('train', 'val', 'test')]
    assert [(r.key, r.same_as) for r in reports] == [*zip(keys, (None, None, keys[1]))]
    text = format_reports(reports)
    content = json.loads((shapes / 'annotations/instances_train.json').read_text())
    total = len(content['annotations'])
    head, first, *_ = text.splitlines()
    assert head.split() == ['data', 'set', 'images', 'objects', 'sizes', 'in', 'pixels', 'faults']
    assert first.split()[1:] == ['4', str(total), *'64 x 64 to 64 x 64'.split(), '0']
    counts = [sum(a['category_id'] == i + 1 for a in content['annotations']) for i in range(6)]
    for name, count in zip(CLASSES, counts):
        assert not count or f'{name} {count}' in text
    assert 'fault:' not in text
    assert text.splitlines()[3] == f'{keys[2]}   the same as {keys[1]}'
    assert f'{keys[2]}:' not in text


def test_every_fault_of_a_set_and_a_file_without_them(root):
    path = root / 'annotations/instances_train.json'
    content = json.loads(path.read_text())
    content['annotations'][0]['segmentation'] = []
    del content['annotations'][1]['bbox']
    path.write_text(json.dumps(content))
    (root / 'train/000002.png').unlink()
    (root / 'train/000003.png').write_bytes(b'<html>')
    cfg = detection.tiny_config(DETECTOR, root)
    cfg.model.roi_head.bbox_head.num_classes = 80
    train, val, *_ = report_data(cfg)
    assert [text.split(':')[0] for text in _faults(train)] == [
        'annotation 1 of image 000000.png has no mask (segmentation)',
        'annotation 2 of image 000000.png has no bbox of four numbers',
        f'image {root}/train/000002.png does not exist',
        f'image {root}/train/000003.png is no image but a text such as HTML',
        'model.roi_head.bbox_head.num_classes is 80 and the data set has 6 classes',
    ]
    assert [fault.split(':')[0] for fault in _faults(val)] == []
    clean = write_clean(train)
    assert clean == f'{root}/annotations/instances_train.clean.json'
    assert write_clean(val) is None
    options = {'train_dataloader__dataset__ann_file': clean}
    cfg = detection.tiny_config(DETECTOR, root, **options)
    report, *_ = report_data(cfg)
    assert not report.faults and len(report.samples) == 2
    check_data(cfg, ['train', 'val'])
    # the old file is as it was
    assert json.loads(path.read_text()) == content


def _repeat(node):
    return dict(type='ConcatDataset', datasets=[node, dict(type='RepeatDataset', dataset=node)])


def test_a_set_that_a_config_names_twice(root):
    """Its heads are held to each use, and its faults are listed once."""
    cfg = detection.tiny_config(DETECTOR, root)
    cfg.model.roi_head.mask_head.num_classes = 3
    cfg.train_dataloader.dataset = _repeat(cfg.train_dataloader.dataset)
    (root / 'train/000001.png').write_bytes(b'')
    first, second, *_ = report_data(cfg)
    assert first.key == 'train_dataloader.dataset.datasets.0' and first.same_as is None
    assert second.key == 'train_dataloader.dataset.datasets.1.dataset'
    assert second.same_as == first.key and not second.faults + second.samples
    image, head = _faults(first)
    assert '000001.png is empty' in image and 'mask_head.num_classes is 3' in head


def test_training_and_validation_of_one_file(root):
    cfg = detection.tiny_config(DETECTOR, root)
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    val.update(ann_file=train.ann_file, data_prefix=train.data_prefix, metainfo=dict(classes=()))
    val.metainfo.classes = CLASSES[:2]
    reports = report_data(cfg)
    # each has what its use asks for
    assert [(len(r.samples), r.same_as) for r in reports[:2]] == [(4, None)] * 2
    assert not reports[0].faults
    (text,) = _faults(reports[1])
    assert 'num_classes is 6 and the data set has 2 classes' in text


def test_items_of_one_id(root):
    """Copies are left out; annotations that differ get new ids; others are the user's."""
    path = root / 'annotations/instances_train.json'
    content = json.loads(path.read_text())
    images, categories, annotations = (
        content[name] for name in ('images', 'categories', 'annotations')
    )
    whole = json.dumps(content)
    path.write_text(json.dumps(dict(content, images=[])))
    train, *_ = report_data(detection.tiny_config(DETECTOR, root))
    assert _faults(train)[0].endswith('lists no image')
    images.append(dict(images[1]))
    categories.insert(2, dict(categories[1]))
    annotations += [dict(annotations[0]), dict(annotations[0])]
    path.write_text(json.dumps(content))
    cfg = detection.tiny_config(DETECTOR, root)
    with pytest.raises(UserError, match='images of the same id: 2 .2 times.; they are identical'):
        check_data(cfg, ['train'])
    train, *_ = report_data(cfg)
    last = len(annotations) - 1
    assert {fault[1:3] for fault in train.faults if fault.part} == {
        ('images', 4),
        ('categories', 2),
        ('annotations', last),
        ('annotations', last - 1),
    }
    assert _faults(train)[0] == 'images[4] is a copy of another one with the id 2: leave one'
    clean = write_clean(train)
    assert json.loads(open(clean).read()) == json.loads(whole)
    changed = annotations[-1]['bbox'] = [1, 2, 30, 30]
    images[-1]['height'] = 60
    path.write_text(json.dumps(content))
    train, *_ = report_data(cfg)
    assert [fault[1:] for fault in train.faults if 'differ' in fault.text] == [
        (None, None, False),
        ('annotations', last, True),
    ]
    images[-1]['height'] = images[1]['height']
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match='images of the same id'):
        check_data(cfg, ['train'])
    train, *_ = report_data(cfg)
    (text,) = (text for text in _faults(train) if 'differ' in text)
    assert text.startswith(f'annotations[0] and annotations[{last}] have the id 1 and differ: ')
    options = {'train_dataloader__dataset__ann_file': write_clean(train)}
    assert not report_data(detection.tiny_config(DETECTOR, root, **options))[0].faults
    *kept, renumbered = json.loads(open(clean).read())['annotations']
    assert kept == json.loads(whole)['annotations']
    assert renumbered == dict(kept[0], bbox=changed, id=1 + max(one['id'] for one in kept))


def test_a_panoptic_set(root):
    path = root / 'annotations/instances_train.json'
    content = json.loads(path.read_text())
    objects, images = content['annotations'], content['images']
    content['annotations'] = [
        dict(image_id=im['id'], segments_info=[a for a in objects if a['image_id'] == im['id']])
        for im in images
    ]
    for category in content['categories']:
        category['isthing'] = 1
    path.write_text(json.dumps(content))
    cfg = detection.tiny_config(DETECTOR, root)
    cfg.train_dataloader.dataset.type = 'CocoPanopticDataset'
    steps = cfg.train_dataloader.dataset.pipeline
    steps[1].type = 'LoadPanopticAnnotations'
    train, *_ = report_data(cfg)
    assert not train.faults and len(train.samples) == 4
    assert train.objects.total() == len(objects)
    (root / 'train' / images[0]['file_name']).write_bytes(b'')
    train, *_ = report_data(cfg)
    assert [fault[1:3] for fault in train.faults] == [('images', 0)]
    clean = json.loads(open(write_clean(train)).read())
    assert clean['images'] == images[1:] and clean['annotations'] == content['annotations'][1:]


def test_a_file_that_is_no_json(root):
    (root / 'annotations/instances_val.json').write_text('[')
    _, val, *_ = report_data(detection.tiny_config(DETECTOR, root))
    (text,) = _faults(val)
    assert 'instances_val.json is not JSON' in text
    assert write_clean(val) is None
    (root / 'annotations/instances_val.json').unlink()
    with pytest.raises(UserError, match='data set not found: .*instances_val.json'):
        report_data(detection.tiny_config(DETECTOR, root))


def test_label_maps(tmp_path):
    root = tmp_path / 'ade'
    segmentation.make_ade(root)
    cfg = segmentation.tiny_config(SEGMENTOR, root)
    train, val, *_ = report_data(cfg)
    assert not train.faults + val.faults
    assert len(train.samples) == 4 and max(train.heights) == 64 and min(train.heights) == 56
    # id 1 is class 0, wall
    assert 0 < train.objects['wall'] <= 4
    path = root / 'annotations/training/ADE_training_00000001.png'
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    pixels[0] = 151
    cv2.imwrite(str(path), pixels)
    (root / 'annotations/training/ADE_training_00000002.png').write_bytes(b'no')
    train, *_ = report_data(cfg)
    first, second = _faults(train)
    assert first.startswith(f'label map {path} has pixels of id 151')
    assert 'ADE_training_00000002.png is truncated, damaged or no image (2 bytes): put' in second
    # without a list there is nothing to write
    assert write_clean(train, 'mmseg') is None
    names = sorted(file.stem for file in (root / 'images/training').iterdir())
    (root / 'list.txt').write_text(''.join(f'{name}\n' for name in names))
    cfg.train_dataloader.dataset.ann_file = 'list.txt'
    train, *_ = report_data(cfg)
    clean = write_clean(train, 'mmseg')
    assert open(clean).read().split() == [names[0], names[3]]


def test_classes_of_folders(imagenet, tmp_path):
    root = shutil.copytree(imagenet, tmp_path / 'imagenet')
    cfg = classification.tiny_config(CLASSIFIER, root)
    train, val, *_ = report_data(cfg)
    assert not train.faults + val.faults
    assert train.objects == {name: 2 for name in CLASSES}
    path = min((root / 'train/ring').iterdir())
    path.write_bytes(path.read_bytes()[:300])
    (text,) = _faults(report_data(cfg)[0])
    assert text.startswith(f'image {path} is truncated, damaged or no image (300 bytes)')
    (root / 'val/.git').mkdir()
    assert any('.git is no class' in text for text in _faults(report_data(cfg)[1]))


def test_lists_of_labels(imagenet, tmp_path):
    root = shutil.copytree(imagenet, tmp_path / 'imagenet')
    files = sorted((root / 'train').rglob('*.JPEG'))
    names = sorted(CLASSES)
    lines = [f'{f.relative_to(root / "train")} {names.index(f.parent.name)}\n' for f in files]
    (root / 'meta').mkdir()
    (root / 'meta/train.txt').write_text(''.join(lines))
    files[5].write_bytes(b'')
    cfg = classification.tiny_config(CLASSIFIER, root)
    train, *_ = report_data(cfg)
    assert [fault[1:3] for fault in train.faults] == [('images', 5)]
    assert open(write_clean(train, 'mmpretrain')).readlines() == lines[:5] + lines[6:]


def test_data_that_is_not_here():
    cfg = load_config(str(CLASSIFIER))
    dataset = dict(type='CIFAR10', data_root='none', data_prefix='none')
    cfg.train_dataloader = dict(dataset=dataset)
    cfg.val_dataloader = cfg.test_dataloader = None
    (report,) = report_data(cfg)
    assert report.notes == ['not checked, because its files are not here'] and not report.faults


def test_rotated_boxes(dota):
    pytest.importorskip('mmrotate')
    train, val, *_ = report_data(rotated.tiny_config(ROTATED, dota))
    assert train.objects == val.objects == dict(plane=4, ship=4) and not train.faults
    cfg = rotated.tiny_config(ROTATED, dota)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        # images without labels
        loader.dataset.ann_file = ''
    train, *_ = report_data(cfg)
    assert len(train.samples) == 4 and not train.objects
