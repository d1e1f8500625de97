"""Missing data end in one line before anything is built."""

import pytest
from detection import ROOT
from mmengine.config import Config
from mmengine.registry import DefaultScope

from sparx_mm import data_checks
from sparx_mm.errors import UserError
from sparx_mm.run import load_config


def _config(**kwargs):
    return Config(dict(kwargs))


def _loader(**kwargs):
    return dict(dataset=dict(type='CocoDataset', **kwargs))


def _paths(cfg, split='train'):
    return [required.path for required in data_checks.required_paths(cfg, split)]


def test_data_of_a_plain_set():
    cfg = _config(
        train_dataloader=_loader(data_root='root', ann_file='a.json', data_prefix=dict(img='i/'))
    )
    required = list(data_checks.required_paths(cfg, 'train'))
    assert required[0] == (
        'root/a.json',
        'train_dataloader.dataset.ann_file',
        'train_dataloader.dataset.data_root=DIR',
    )
    assert [required.path for required in required] == ['root/a.json', 'root/i/']


def test_data_without_a_root():
    cfg = _config(train_dataloader=_loader(ann_file='a.json'))
    (required,) = data_checks.required_paths(cfg, 'train')
    assert required.option == 'train_dataloader.dataset.ann_file=PATH'


def test_absolute_paths_ignore_the_root():
    cfg = _config(train_dataloader=_loader(data_root='root', ann_file='/a.json'))
    assert _paths(cfg) == ['/a.json']


def test_data_of_wrapped_sets():
    inner = [
        dict(ann_file='a.json'),
        dict(dataset=dict(data_root='r', data_prefix=dict(img='i', seg='s'))),
    ]
    cfg = _config(train_dataloader=dict(dataset=dict(type='ConcatDataset', datasets=inner)))
    assert _paths(cfg) == ['a.json', 'r/i', 'r/s']
    keys = [required.key for required in data_checks.required_paths(cfg, 'train')]
    assert keys[1] == ('train_dataloader.dataset.datasets.1.dataset.data_prefix.img')


def test_data_of_evaluators():
    one = dict(type='CocoMetric', ann_file='a.json')
    assert _paths(_config(val_evaluator=one), 'val') == ['a.json']
    cfg = _config(val_evaluator=[one, dict(type='DumpResults')])
    assert _paths(cfg, 'val') == ['a.json']


@pytest.mark.parametrize(
    'remote',
    [
        dict(data_root='s3://bucket/'),
        dict(data_prefix=dict(img='s3://bucket/train')),
        dict(backend_args=dict(backend='petrel')),
    ],
)
def test_remote_data_is_left_to_mmengine(remote):
    cfg = _config(train_dataloader=_loader(ann_file='a.json', **remote))
    assert _paths(cfg) == []


def test_missing_data_is_one_line(tmp_path, monkeypatch):
    # of no library, by whose data sets files would be read
    monkeypatch.setattr(DefaultScope, '_instance_dict', {})
    cfg = _config(
        data_source=dict(type='CocoDataset', name='shop.org'),
        train_dataloader=_loader(
            data_root=str(tmp_path), ann_file='a.json', data_prefix=dict(img='i/')
        ),
        val_evaluator=dict(ann_file=f'{tmp_path}/b.json'),
    )
    with pytest.raises(UserError) as error:
        data_checks.check_data(cfg, ('train', 'val'))
    assert str(error.value) == (
        f'data set not found: {tmp_path}/a.json '
        '(train_dataloader.dataset.ann_file) (and 2 more); put or link it there '
        '(shop.org), or give its place: --cfg-options '
        'train_dataloader.dataset.data_root=DIR val_evaluator.ann_file=FILE'
    )
    for name in 'ab':
        (tmp_path / f'{name}.json').write_text('{}')
    (tmp_path / 'i').mkdir()
    data_checks.check_data(cfg, ('train', 'val'))


def test_where_data_is_from_is_said_of_that_data_alone(tmp_path):
    cfg = _config(
        data_source=dict(type='ADE20KDataset', name='shop.org'),
        train_dataloader=_loader(data_root='data/mine', ann_file='a.json'),
    )
    with pytest.raises(UserError, match=r'put or link it there, or give'):
        data_checks.check_data(cfg, ('train',))
    # what a config says in plain text is about all of its sets
    cfg.data_source = 'shop.org'
    with pytest.raises(UserError, match=r'put or link it there \(shop.org\), or give'):
        data_checks.check_data(cfg, ('train',))


@pytest.mark.parametrize('config', ['mmseg/upernet_sparx_t', 'mmpretrain/sparx_t_in1k'])
def test_the_shipped_configs_say_where_data_is_from(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = load_config(str(ROOT / f'configs/{config}.py'))
    with pytest.raises(UserError) as error:
        data_checks.check_data(cfg, ('train',))
    assert f'put or link it there ({cfg.data_source["name"]})' in str(error.value)
    # a set of another type that is based on it
    cfg.train_dataloader.dataset.type = 'Other'
    cfg.train_dataloader.dataset.data_prefix = dict(img_path='images')
    with pytest.raises(UserError) as error:
        data_checks.check_data(cfg, ('train',))
    assert cfg.data_source['name'] not in str(error.value)


def test_label_maps_that_no_step_loads_need_not_be_there(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images/a.jpg').touch()
    cfg = _config(
        default_scope='mmseg',
        val_dataloader=dict(dataset=_segmentation(tmp_path, 'LoadAnnotations')),
        test_dataloader=dict(dataset=_segmentation(tmp_path, 'PackSegInputs')),
    )
    data_checks.check_data(cfg, ('test',))
    with pytest.raises(UserError, match='data set not found') as error:
        data_checks.check_data(cfg, ('val',))
    assert str(error.value).startswith(f'data set not found: {tmp_path}/labels ')


@pytest.mark.parametrize(
    'step,read',
    [
        (dict(type='LoadAnnotations', with_mask=True), False),
        (dict(type='LoadAnnotations', with_seg=True), True),
        (dict(type='mmdet.LoadPanopticAnnotations'), True),
    ],
)
def test_panoptic_maps_that_no_step_loads_need_not_be_there(step, read):
    prefixes = dict(img='i', seg='s')
    cfg = _config(train_dataloader=_loader(data_prefix=prefixes, pipeline=[step]))
    assert _paths(cfg) == (['i', 's'] if read else ['i'])


def test_what_was_unpacked_into_a_folder_too_many(tmp_path):
    (tmp_path / 'coco/coco/train').mkdir(parents=True)
    cfg = _config(
        train_dataloader=_loader(data_root=f'{tmp_path}/coco', data_prefix=dict(img='train'))
    )
    found = r'found: \S*/coco/train \S* but there is \S*/coco/coco/train; put'
    with pytest.raises(UserError, match=found):
        data_checks.check_data(cfg, ('train',))
    cfg.train_dataloader.dataset.data_root = f'{tmp_path}/coco/coco'
    data_checks.check_data(cfg, ('train',))


def _segmentation(root, loads, **kwargs):
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='TestTimeAug', transforms=[[dict(type=loads)]]),
    ]
    return dict(
        type='BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        metainfo=dict(classes=('cat', 'dog')),
        pipeline=pipeline,
        **kwargs,
    )


@pytest.mark.stack
def test_segmentation_data_that_does_not_match(tmp_path):
    for folder in ('images', 'labels'):
        (tmp_path / folder).mkdir()
    for name in ('images/a.jpg', 'labels/a.png', 'images/b.jpg'):
        (tmp_path / name).touch()
    labelled = _segmentation(tmp_path, 'LoadAnnotations')
    cfg = _config(
        default_scope='mmseg',
        train_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=labelled)),
        val_dataloader=dict(dataset=labelled),
        test_dataloader=dict(dataset=_segmentation(tmp_path, 'Resize')),
    )
    for split, key in (('train', 'dataset.dataset'), ('val', 'dataset')):
        with pytest.raises(UserError) as error:
            data_checks.check_data(cfg, (split,))
        assert str(error.value).startswith(
            f'{split}_dataloader.{key}.data_prefix.seg_map_path: 1 of 2 label '
            f'maps are missing, the first is {tmp_path}/labels/b.png;'
        )
    data_checks.check_data(cfg, ('test',))
    # remote files are not listed
    labelled['backend_args'] = dict(backend='petrel')
    data_checks.check_data(_config(train_dataloader=labelled), ('train',))


def test_splits_that_do_not_run_need_no_data():
    cfg = _config(test_dataloader=_loader(ann_file='none.json'))
    data_checks.check_data(cfg, ('train', 'val'))
    data_checks.check_data(_config(val_dataloader=None), ('val',))


def test_data_of_classifiers():
    cfg = _config(
        default_scope='mmpretrain',
        train_dataloader=dict(dataset=dict(type='ImageNet', data_root='root', split='train')),
        val_dataloader=dict(
            dataset=dict(type='CustomDataset', data_root='root', data_prefix='some')
        ),
        test_dataloader=dict(
            dataset=dict(type='ImageNet', data_prefix='val', split='val', ann_file='')
        ),
    )
    required = list(data_checks.required_paths(cfg, 'train'))
    assert required == [
        ('root/train', 'train_dataloader.dataset.split', 'train_dataloader.dataset.data_root=DIR')
    ]
    assert _paths(cfg, 'val') == ['root/some']
    (required,) = data_checks.required_paths(cfg, 'test')
    assert required == (
        'val',
        'test_dataloader.dataset.data_prefix',
        'test_dataloader.dataset.data_prefix=PATH',
    )


@pytest.mark.parametrize('kind', ['CIFAR10', 'mmpretrain.datasets.CIFAR10'])
def test_data_that_is_downloaded_need_not_be_there(kind):
    dataset = dict(type=kind, data_root='root', data_prefix='cifar')
    assert _paths(_config(default_scope='mmpretrain', train_dataloader=dict(dataset=dataset))) == []


@pytest.mark.parametrize('kind', ['ImageNet', 'mmpretrain.datasets.ImageNet'])
def test_a_split_is_found_by_its_root(kind):
    dataset = dict(type=kind, data_root='', split='val')
    cfg = _config(default_scope='mmpretrain', val_dataloader=dict(dataset=dataset))
    (required,) = data_checks.required_paths(cfg, 'val')
    assert required.option == 'val_dataloader.dataset.data_root=DIR'


@pytest.mark.parametrize('scope,prefix', [('mmpretrain', ['images']), ('mmdet', 'images')])
def test_folders_that_are_no_dict(scope, prefix):
    dataset = dict(data_root='root', data_prefix=prefix)
    cfg = _config(default_scope=scope, train_dataloader=dict(dataset=dataset))
    with pytest.raises(UserError, match='data_prefix must be a dict of fold'):
        data_checks.check_data(cfg, ['train'])
