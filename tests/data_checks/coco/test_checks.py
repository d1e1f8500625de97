"""A file in COCO's format that cannot be trained ends in one line before anything is built."""

import copy
import json
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.registry import TRANSFORMS

from sparx_mm.data_checks import check_classes, check_data, check_same_classes
from sparx_mm.data_checks.coco import checks, verdicts
from sparx_mm.demo import CLASSES
from sparx_mm.errors import UserError

pytestmark = pytest.mark.stack
NAN = float('nan')


@pytest.fixture(scope='module')
def drawn(shapes):
    """The content of a drawn annotation file."""
    return json.loads((shapes / 'annotations/instances_train.json').read_text())


@pytest.fixture
def check(shapes, drawn, tmp_path):
    """Change a copy of the file and check a config that reads it."""

    def check(
        change=None,
        split='train',
        model=None,
        wrap=None,
        mask=True,
        raw=None,
        metric=None,
        **kwargs,
    ):
        content = copy.deepcopy(drawn)
        if change is not None:
            content = change(content) or content
        path = tmp_path / 'a.json'
        path.write_bytes(json.dumps(content).encode() if raw is None else raw)
        node = dict(
            type='CocoDataset',
            data_root=str(tmp_path),
            ann_file='a.json',
            data_prefix=dict(img=str(shapes / 'train')),
            metainfo=dict(classes=CLASSES),
            pipeline=[dict(type='LoadAnnotations', with_bbox=True, with_mask=mask)],
        )
        node.update(kwargs)
        cfg = {'default_scope': 'mmdet', f'{split}_dataloader': dict(dataset=(wrap or dict)(node))}
        cfg[f'{split}_evaluator'] = metric or {}
        return check_data(Config(dict(cfg, model=model or {})), [split], lambda done, total: None)

    return check


def _text(key):
    def change(content):
        for annotation in content['annotations']:
            annotation[key] = str(annotation[key])

    return change


def _fractions(content):
    for annotation in content['annotations']:
        annotation['bbox'] = [value / 64 for value in annotation['bbox']]


def problem(check, *args, **kwargs):
    with pytest.raises(UserError) as error:
        check(*args, **kwargs)
    line = str(error.value)
    assert '\n' not in line
    return line


def _each(name, **values):
    def change(content):
        for item in content[name]:
            item.update(values)

    return change


def _first(name, number=1, **values):
    def change(content):
        for item in content[name][:number]:
            item.update(values)

    return change


def _without(name, key=None, number=None):
    def change(content):
        if key is None:
            del content[name]
        else:
            for item in content[name][:number]:
                del item[key]

    return change


def test_what_is_trained_is_one_line(check, drawn, tmp_path):
    total = len(drawn['annotations'])
    classes = len({a['category_id'] for a in drawn['annotations']})
    assert check() == [
        f'{tmp_path}/a.json: 4 images, {total} objects of {classes} classes; 0 left out'
    ]


@pytest.mark.tries('a COCO')
@pytest.mark.parametrize(
    'change,message',
    [
        (_without('categories'), "has no list 'categories'"),
        (_without('images'), "has no list 'images'"),
        (_without('annotations'), "has no list 'annotations'"),
        (lambda content: content['annotations'], 'holds a list, and COCO has a dict of images'),
        (_without('images', 'file_name', 1), r"images\[0\] has no value 'file_name': give it"),
        (
            _each('images', height='64'),
            r"images\[0\] has no positive number 'height' \(and 3 more\)",
        ),
        (_without('categories', 'name', 1), r"categories\[0\] has no value 'name'"),
        (_without('annotations', 'image_id'), r"annotations\[0\] has no value 'image_id' \(and"),
        (
            _without('annotations', 'area', 3),
            r"annotation 1 of image 000000.png has no 'area' \(and 2 more\): give that .*, or "
            r'leave such annotations out with tools/check_data.py CONFIG --skip-broken',
        ),
        (_without('annotations', 'bbox', 1), 'annotation 1 .* has no bbox of four numbers: give x'),
        (_first('annotations', bbox=None), 'has no bbox of four'),
        (_first('annotations', bbox=['1', 2, 3, 4]), 'has no bbox of four'),
        (_first('annotations', bbox=[1, 2, 3]), 'has no bbox of four'),
        (_first('annotations', bbox=[1, 2, 9, float('inf')]), 'has no bbox of four'),
        (_first('annotations', segmentation=[]), 'has no mask .segmentation.: draw one, or train'),
        (_without('annotations', 'segmentation', 2), r'has no mask .segmentation. \(and 1 more\)'),
        (
            _first('annotations', segmentation=dict(size=[4, 4], counts='0')),
            'has a mask of another size than its image',
        ),
        (
            _first('annotations', 3, id=1),
            r'annotations of the same id: 1 \(3 times\); number them anew, for example with tools/ch',
        ),
        (_first('images', 2, id=1), r'images of the same id: 1 \(2 times\)'),
        (
            _first('images', file_name='no.png'),
            r'1 of 4 images are missing, the first is /\S*/no.png; put them there, give their '
            r'folder as train_dataloader.dataset.data_prefix.img, or leave them out with tools/',
        ),
        (lambda content: content.update(images=[]), 'lists no image'),
        (lambda content: content.update(annotations=[]), 'no object is trained: 4 images, 0 obj'),
        (
            _each('annotations', iscrowd=1),
            r'none of \d+ objects is trained, because all are crowds',
        ),
        (_each('annotations', area=0), r'no object is trained: .* left out .\d+ of no area.'),
        (_each('annotations', image_id=77), r'no object is trained: .*\d+ of unknown images'),
    ],
)
def test_files_that_cannot_be_trained(check, tmp_path, change, message):
    line = problem(check, change)
    assert line.startswith(f'{tmp_path}/a.json')
    with pytest.raises(UserError, match=message):
        raise UserError(line)


@pytest.mark.tries('a COCO')
@pytest.mark.parametrize(
    'raw,message',
    [
        (b'\xef\xbb\xbf{}', 'begins with a byte order mark, .*: save it as UTF-8 without BOM'),
        (b'{"images": [', 'is not JSON: .* line 1 column'),
        (b'', 'is not JSON'),
        (b'{"a": "\xff"}', "is not JSON: 'utf-8' codec"),
        (b'version https://git-lfs.github.com/spec/v1', 'is not JSON'),
    ],
)
def test_files_that_are_no_json(check, raw, message):
    with pytest.raises(UserError, match=f'a.json {message}'):
        check(raw=raw)


@pytest.mark.tries('annotations that mmdet drops')
def test_what_is_left_out_is_counted(check, drawn):
    boxes = [[NAN, 1, 9, 9], [0, 0, 0, 9], [0, 0, -4, 9], [70, 2, 9, 9], [-20, 2, 9, 9]]

    def change(content):
        new = [dict(content['annotations'][0], id=1000 + i) for i in range(len(boxes) + 4)]
        for annotation, box in zip(new, boxes):
            annotation['bbox'] = box
        new[-1].update(iscrowd=1)
        new[-2].update(category_id=99)
        new[-3].update(image_id=99)
        new[-4].update(ignore=True)
        content['annotations'] += new

    (line,) = check(change)
    assert f'{len(drawn["annotations"])} objects' in line
    assert line.split('; ')[1].startswith('9 left out (')
    for part in (
        '1 with NaN in the box',
        '2 of no area',
        '2 outside the image',
        '1 marked as a crowd',
        '1 of unknown categories',
        '1 of unknown images',
        '1 marked to be ignored',
    ):
        assert part in line


@pytest.mark.tries('annotations that mmdet drops')
@pytest.mark.parametrize('mask', [True, False])
def test_crowds_of_run_lengths(check, mask):
    def change(content):
        rle = dict(size=[64, 64], counts=[0, 64 * 64])
        content['annotations'][0].update(segmentation=rle, iscrowd=1)

    (line,) = check(change, mask=mask)
    assert line.endswith('; 1 left out (1 marked as a crowd)')


def test_polygons(check):
    """A polygon needs three points; one of several is enough."""

    def change(content):
        for i, mask in enumerate(([[1, 1, 9, 9]], [[1, 1, 9, 9], [1, 1, 9, 9, 5, 1]], [[]])):
            content['annotations'][i]['segmentation'] = mask

    (line,) = check(change)
    assert line.endswith('; 2 left out (2 with a polygon of fewer than three points)')


def test_the_counts_are_mmdets(check, drawn, tmp_path, shapes):
    """Whatever a box is, mmdet trains as many objects as are counted."""
    from mmdet.datasets import CocoDataset

    values = (NAN, -70.0, -3.5, 0, 0.5, 1, 30, 64, 70)

    def change(content):
        first = content['annotations'][0]
        boxes = [[x, 3, w, 9] for x in values for w in values]
        content['annotations'] = [
            dict(first, id=i + 1, bbox=box, area=1 + (i % 3), category_id=1 + i % 7)
            for i, box in enumerate(boxes)
        ]

    (line,) = check(change)
    built = CocoDataset(
        ann_file=f'{tmp_path}/a.json',
        data_prefix=dict(img=str(shapes / 'train')),
        metainfo=dict(classes=CLASSES),
        pipeline=[],
    )
    trained = sum(len(built.get_data_info(i)['instances']) for i in range(len(built)))
    assert 0 < trained and f' {trained} objects of 6 classes' in line


def test_boxes_that_are_corners(check):
    def change(content):
        for a in content['annotations']:
            x, y, w, h = a['bbox']
            a['bbox'] = [x, y, x + w, y + h]

    _, line = check(change)
    assert "boxes reach beyond their image: are they corners? COCO's are x, y, width" in line


@pytest.mark.parametrize('min_size', [8, 65])
def test_images_that_are_too_small(check, min_size):
    filter_cfg = dict(filter_empty_gt=True, min_size=min_size)
    if min_size == 8:
        check(filter_cfg=filter_cfg)
    else:
        line = problem(check, filter_cfg=filter_cfg)
        assert 'all 4 images with objects are smaller than' in line


@pytest.mark.parametrize(
    'change,kwargs',
    [
        # masks that are not loaded need not be there
        (_each('annotations', segmentation=[]), dict(mask=False)),
        # of a class that is not chosen, nothing is read
        (_first('annotations', category_id=99, segmentation=[]), {}),
        # a test set may have no annotations
        (_without('annotations'), dict(split='test', pipeline=[])),
        # images without labels, as semi-supervised training takes them
        (_without('annotations'), dict(pipeline=[dict(type='LoadEmptyAnnotations')])),
        (
            _each('annotations', iscrowd=1),
            dict(pipeline=[dict(type='LoadEmptyAnnotations', with_mask=True)]),
        ),
        # backgrounds beside another set
        (
            lambda content: content.update(annotations=[]),
            dict(wrap=lambda node: dict(type='ConcatDataset', datasets=[node])),
        ),
        # a format of its own
        (_without('categories'), dict(type='NoSuchDataset')),
        (_without('categories'), dict(backend_args=dict(backend='petrel'))),
    ],
)
def test_what_mmdet_trains_passes(check, change, kwargs):
    check(change, **kwargs)


def _swap(a, b):
    names = list(CLASSES)
    names[a], names[b] = names[b], names[a]
    return names


def _renamed(*names):
    def change(content):
        content['categories'] = [dict(id=i, name=name) for i, name in enumerate(names)]
        _each('annotations', category_id=0)(content)

    return change


@pytest.mark.tries('classes in another order')
@pytest.mark.parametrize(
    'metainfo,message',
    [
        (
            dict(classes=('circle', 'sqare', *CLASSES[2:])),
            "metainfo.classes: 'sqare' is no category of .*a.json .did you mean 'square'... The",
        ),
        (dict(classes=(*CLASSES[:5], 'crosses')), "'crosses' is no .* .did you mean 'cross'"),
        (
            dict(classes=(*CLASSES[:5], 'horse')),
            r"'horse' is no category .*, which has \('circle', ",
        ),
        (
            dict(classes=_swap(0, 5)),
            r"are in another order than .*: give \('circle', .*, 'cross'\)$",
        ),
        (dict(classes=('square', 'circle')), r"another order .*: give \('circle', 'square'\)"),
        (dict(classes=[name.title() for name in CLASSES]), "none of them .*classes=.'circle', 's"),
        (None, 'names no classes .*, so it has the 80 of its type: none of them is a cat'),
        ({}, 'so it has the 80 of its type'),
    ],
)
@pytest.mark.parametrize('split', ['train', 'val'])
def test_classes_that_are_not_the_files(check, metainfo, message, split):
    with pytest.raises(UserError, match=message):
        check(split=split, metainfo=metainfo)
    # whose labels nobody reads
    check(metainfo=metainfo, pipeline=[dict(type='LoadEmptyAnnotations')])


def test_a_comma_is_missing(check):
    with pytest.raises(UserError, match=r"the text 'circle' .* it is one, \('circle',\)"):
        check(metainfo=dict(classes=('circle')))


@pytest.mark.parametrize(
    'names,classes,passes',
    [
        (CLASSES, CLASSES[:2], True),
        (CLASSES, (CLASSES[0], CLASSES[3]), True),
        (CLASSES[:4], CLASSES, True),
        (('objects', *CLASSES), CLASSES, True),
        (CLASSES[1:], CLASSES, False),
        ((CLASSES[0], CLASSES[2]), CLASSES, False),
        (('person', 'car'), None, False),
        (('circle', 'circle', 'square'), ('circle', 'square'), False),
    ],
)
def test_classes_that_are_part_of_the_files(check, names, classes, passes):
    metainfo = dict(classes=classes) if classes else None
    change = _renamed(*names)
    if passes:
        check(change, metainfo=metainfo, split='val')
    else:
        assert 'categor' in problem(check, change, metainfo=metainfo, split='val')


def test_the_file_of_a_metric(check, drawn, tmp_path):
    """The metric numbers categories by the order in its own file."""
    path = tmp_path / 'metric.json'
    path.write_text(json.dumps(drawn))
    metric = dict(type='CocoMetric', ann_file=str(path))
    check(split='val', metric=[metric])
    path.write_text(json.dumps(dict(drawn, categories=drawn['categories'][::-1])))
    with pytest.raises(UserError, match=f'in another order than the categories of {path}'):
        check(split='val', metric=[metric])
    check(split='val', metric=dict(metric, type='LVISMetric'))


@pytest.mark.parametrize(
    'wrap',
    [
        lambda node: dict(type='RepeatDataset', dataset=node),
        lambda node: dict(type='MultiImageMixDataset', dataset=node, pipeline=[]),
        lambda node: dict(
            type='ConcatDataset', datasets=[dict(node, metainfo=dict(classes=CLASSES)), node]
        ),
    ],
)
def test_classes_of_wrapped_sets(check, wrap):
    assert 'no category' in problem(check, wrap=wrap, metainfo=dict(classes=('sqare', 'circle')))


def test_classes_of_concatenated_sets(check):
    def both(*classes):
        return lambda node: dict(
            type='ConcatDataset', datasets=[node, dict(node, metainfo=dict(classes=classes))]
        )

    line = problem(check, wrap=both('circle', 'triangle'))
    assert "concatenated differ: 'triangle' and 'square', number 1; give all" in line
    check(wrap=both('circle', 'square'))


def test_sets_of_fewer_classes_as_mmdet_builds_them(shapes):
    """Their metainfo is a list; both have the same labels."""
    from mmdet.datasets import CocoDataset, ConcatDataset

    def build(classes):
        return CocoDataset(
            ann_file=f'{shapes}/annotations/instances_train.json',
            data_prefix=dict(img=f'{shapes}/train'),
            metainfo=dict(classes=classes),
            pipeline=[],
        )

    both = ConcatDataset([build(CLASSES), build(CLASSES[:2])])
    assert isinstance(both.metainfo, list)
    head = SimpleNamespace(num_classes=6)
    model = SimpleNamespace(named_modules=lambda: [('bbox_head', head)])
    runner = SimpleNamespace(model=model, cfg={})
    check_classes(runner, both, 'val')
    check_same_classes(both, build(CLASSES))
    head.num_classes = 2
    with pytest.raises(UserError, match='bbox_head.num_classes=6'):
        check_classes(runner, both, 'val')


@pytest.mark.tries('classes in another order')
@pytest.mark.parametrize(
    'model,message',
    [
        (
            dict(bbox_head=dict(num_classes=80)),
            'model.bbox_head.num_classes is 80 and the data set has 6 classes: give '
            'model.bbox_head.num_classes=6, or name',
        ),
        (
            dict(roi_head=dict(bbox_head=[dict(num_classes=6), dict(num_classes=3)])),
            'model.roi_head.bbox_head.1.num_classes is 3',
        ),
        (
            dict(roi_head=dict(bbox_head=dict(num_classes=80), mask_head=dict(num_classes=80))),
            'give model.roi_head.bbox_head.num_classes=6 model.roi_head.mask_head.num_classes=6,',
        ),
        (
            dict(panoptic_head=dict(num_things_classes=80, num_stuff_classes=0)),
            'give model.panoptic_head.num_things_classes=6',
        ),
        (
            dict(detector=dict(bbox_head=dict(num_classes=80))),
            'give model.detector.bbox_head.num_classes=6',
        ),
    ],
)
def test_heads_of_other_classes(check, model, message):
    with pytest.raises(UserError, match=message):
        check(model=model)


@pytest.mark.parametrize(
    'model',
    [
        dict(rpn_head=dict(num_classes=1), bbox_head=dict(num_classes=6, loss=dict(num_classes=9))),
        dict(roi_head=dict(mask_head=dict(num_classes=80, class_agnostic=True))),
        dict(roi_head=dict(semantic_head=dict(num_classes=183))),
        dict(panoptic_head=dict(num_things_classes=6, num_stuff_classes=0)),
        dict(language_model=dict(name='bert'), bbox_head=dict(num_classes=256)),
    ],
)
def test_heads_that_may_differ(check, model):
    check(model=model)


def test_a_large_file_is_checked_once(check, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    check()
    assert not (tmp_path / 'cache').exists()
    monkeypatch.setattr(verdicts, 'WORTH_KEEPING', 1)
    monkeypatch.setattr(checks, 'LARGE', 1)
    lines = check()
    assert 'a.json (0 MB), once until it changes' in capsys.readouterr().out
    raw = (tmp_path / 'a.json').read_bytes()
    read = []
    monkeypatch.setattr(checks, '_check', lambda *args: read.append(args) or ['new'])
    # the same text is written anew, so that only its time differs
    assert check(raw=raw) == ['new'] and len(read) == 1
    assert check(raw=raw) == ['new'] and len(read) == 2
    assert lines != ['new']


def test_a_cache_that_cannot_be_written_is_left_as_it_was(check, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(verdicts, 'WORTH_KEEPING', 1)
    # no file can take its place
    (tmp_path / 'cache/sparx_mm/data_checks.json').mkdir(parents=True)
    assert check()
    assert [path.name for path in (tmp_path / 'cache/sparx_mm').iterdir()] == ['data_checks.json']


POLYGON = [10, 10, 40, 10, 40, 40, 10, 40]
RUNS = dict(size=[64, 64], counts=[0, 100, 3996])
# the same as text, and what is left of it once it is cut off or changed
TEXT = '0T3ll3'
DAMAGED = (
    '0T3',
    '0T3l',
    '0T3ll3~',
    '0T3ll3é',
    '0T3ll30',
    '',
    '0',
    'zzzz',
    'polygon',
    'P' * 99,
    '\x00',
)


@pytest.mark.tries('masks that are neither')
@pytest.mark.parametrize(
    'mask,message',
    [
        (POLYGON, 'is neither lists of numbers x, y, x, y nor run lengths'),
        ([[None] * 6], 'is neither'),
        ([[NAN] * 8], 'is neither'),
        ([POLYGON, [[1, 2]] * 6], 'is neither'),
        ('polygon', 'is neither'),
        (7, 'is neither'),
        (dict(RUNS, counts=[0, 100]), 'do not add up to the size of its mask: export it again'),
        (dict(RUNS, counts=[0, 100, 99999]), 'do not add up'),
        (dict(RUNS, counts=[100, -100, 4096]), 'do not add up'),
        *((dict(RUNS, counts=text), 'run lengths that are damaged') for text in DAMAGED),
        (dict(RUNS, size='64x64'), 'of another size than its image'),
        (dict(RUNS, counts=['a']), 'is neither'),
    ],
)
def test_masks_that_mmdet_fails_at_or_draws_empty(check, mask, message):
    line = problem(check, _first('annotations', segmentation=mask))
    assert 'annotation 1 of image 000000.png has ' in line and message in line


@pytest.mark.parametrize(
    'mask,reason',
    [
        ([[1, 2, 3, 4, 5], POLYGON], None),
        ([[str(value) for value in POLYGON]], None),
        (RUNS, None),
        (dict(RUNS, counts=TEXT), None),
        # the sizes of a file may be rounded, and mmdet compares with the image itself
        (dict(size=[65, 64], counts=[0, 100, 4060]), None),
        ([[[1, 2], [3, 4], [5, 6]]], 'with a polygon of fewer than three points'),
        (dict(size=[64, 64]), 'with a run-length mask without counts or size'),
        (dict(counts=[4096]), 'with a run-length mask without counts or size'),
    ],
)
def test_masks_that_mmdet_takes_or_leaves_out(check, mask, reason):
    line, *_ = check(_first('annotations', segmentation=mask))
    assert line.endswith(f'; 1 left out (1 {reason})' if reason else '; 0 left out')
    loader = TRANSFORMS.build(dict(type='mmdet.LoadAnnotations', with_mask=True))
    one = dict(bbox=[1, 2, 30, 30], bbox_label=0, ignore_flag=0, mask=mask)
    size = mask['size'] if isinstance(mask, dict) and 'size' in mask else (64, 64)
    loaded = loader(dict(instances=[one], ori_shape=tuple(size)))
    assert loaded['gt_ignore_flags'].tolist() == [reason is not None]


@pytest.mark.parametrize('mask', [RUNS, dict(RUNS, size=[1, 1]), 'text'])
def test_run_lengths_beside_polygons_that_are_not_drawn(check, mask):
    def change(content):
        _each('annotations', segmentation=[POLYGON])(content)
        _first('annotations', segmentation=mask)(content)

    step = dict(type='LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False)
    line, *_ = check(change, pipeline=[step])
    assert line.endswith('1 left out (1 with a run-length mask, which poly2mask=False leaves out)')
    loader = TRANSFORMS.build(dict(step, type='mmdet.LoadAnnotations'))
    one = dict(bbox=[1, 2, 30, 30], bbox_label=0, ignore_flag=0, mask=mask)
    assert loader(dict(instances=[one], ori_shape=(64, 64)))['gt_ignore_flags'].all()
    with pytest.raises(UserError, match='no object is trained'):
        check(_each('annotations', segmentation=mask), pipeline=[step])


@pytest.mark.parametrize(
    'change,message',
    [
        (_first('images', width=0), r"images\[0\] has no positive number 'width': give"),
        (_each('images', height=-64), r"'height' \(and 3 more\)"),
        (_first('images', width=NAN), "no positive number 'width'"),
        (_first('images', file_name=5), "no value 'file_name'"),
        (_first('images', id=[1]), "no value 'id'"),
        (_text('category_id'), 'no category_id is an id in categories, and a text is not the'),
        (_text('image_id'), 'no image_id is an id in images, and a text'),
        (_fractions, "the boxes are fractions of the image, and COCO's are in pixels"),
    ],
)
def test_fields_of_other_kinds(check, change, message):
    with pytest.raises(UserError, match=message):
        check(change)


def test_files_that_cannot_be_read(check, tmp_path):
    with pytest.raises(UserError, match='a.json is not JSON: maximum recursion depth'):
        check(raw=b'[' * 100_000)
    with pytest.raises(UserError, match='cannot be read: Is a directory'):
        check(ann_file='.')
    with pytest.raises(UserError, match=r"ann_file must be one path, got .'a.json', 'b.json'"):
        check(ann_file=['a.json', 'b.json'])


@pytest.mark.parametrize(
    'classes,message',
    [
        (('circle', *CLASSES), "classes has 'circle' several times: give each name once"),
        ((*CLASSES[:5], None), 'None is no category of'),
        (6, 'metainfo.classes is 6 and no list of names'),
        (dict(enumerate(CLASSES)), 'no list of names'),
    ],
)
def test_classes_that_are_no_names(check, classes, message):
    with pytest.raises(UserError, match=message):
        check(metainfo=dict(classes=classes))


def test_classes_that_never_occur(check):
    def change(content):
        content['annotations'] = [a for a in content['annotations'] if a['category_id'] != 2]

    *_, line = check(change)
    assert line.endswith("a.json: 1 of 6 classes never occur: ('square',)")
    assert len(check(change, split='val')) == 1
    assert len(check(change, wrap=lambda node: dict(type='ConcatDataset', datasets=[node]))) == 1
