"""What is missing is said in one line before anything is built."""

import pytest
import torch
from mmengine.config import Config

from sparx_mm.checkpoint_io.download import cached_file
from sparx_mm.errors import UserError
from sparx_mm.run import preflight


def _config(**kwargs):
    return Config(dict(kwargs))


def _loader(**kwargs):
    return dict(dataset=dict(type='CocoDataset', **kwargs))


def _paths(cfg, split='train'):
    return [need.path for need in preflight.data_needs(cfg, split)]


def test_data_of_a_plain_set():
    cfg = _config(
        train_dataloader=_loader(data_root='root', ann_file='a.json', data_prefix=dict(img='i/'))
    )
    needs = list(preflight.data_needs(cfg, 'train'))
    assert needs[0] == (
        'root/a.json',
        'train_dataloader.dataset.ann_file',
        'train_dataloader.dataset.data_root=DIR',
    )
    assert [need.path for need in needs] == ['root/a.json', 'root/i/']


def test_data_without_a_root():
    cfg = _config(train_dataloader=_loader(ann_file='a.json'))
    (need,) = preflight.data_needs(cfg, 'train')
    assert need.option == 'train_dataloader.dataset.ann_file=PATH'


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
    keys = [need.key for need in preflight.data_needs(cfg, 'train')]
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
        dict(backend_args=dict(backend='petrel')),
    ],
)
def test_remote_data_is_left_to_mmengine(remote):
    cfg = _config(train_dataloader=_loader(ann_file='a.json', **remote))
    assert _paths(cfg) == []


def test_missing_data_is_one_line(tmp_path):
    cfg = _config(
        data_source='shop.org',
        train_dataloader=_loader(
            data_root=str(tmp_path), ann_file='a.json', data_prefix=dict(img='i/')
        ),
        val_evaluator=dict(ann_file=f'{tmp_path}/b.json'),
    )
    with pytest.raises(UserError) as error:
        preflight.check_data(cfg, ('train', 'val'))
    assert str(error.value) == (
        f'data set not found: {tmp_path}/a.json '
        '(train_dataloader.dataset.ann_file) and 2 more; put or link it there '
        '(shop.org), or give its place: --cfg-options '
        'train_dataloader.dataset.data_root=DIR val_evaluator.ann_file=FILE'
    )
    for name in 'ab':
        (tmp_path / f'{name}.json').write_text('{}')
    (tmp_path / 'i').mkdir()
    preflight.check_data(cfg, ('train', 'val'))


def test_what_was_unpacked_into_a_folder_too_many(tmp_path):
    (tmp_path / 'coco/coco/train').mkdir(parents=True)
    cfg = _config(
        train_dataloader=_loader(data_root=f'{tmp_path}/coco', data_prefix=dict(img='train'))
    )
    found = r'found: \S*/coco/train \S* but there is \S*/coco/coco/train; put'
    with pytest.raises(UserError, match=found):
        preflight.check_data(cfg, ('train',))
    cfg.train_dataloader.dataset.data_root = f'{tmp_path}/coco/coco'
    preflight.check_data(cfg, ('train',))


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
def test_segmentation_data_that_does_not_match(tmp_path, monkeypatch):
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
            preflight.check_data(cfg, (split,))
        assert str(error.value).startswith(
            f'{split}_dataloader.{key}.data_prefix.seg_map_path: 1 of 2 label '
            f'maps are missing, the first is {tmp_path}/labels/b.png;'
        )
    preflight.check_data(cfg, ('test',))
    # what is elsewhere is not listed
    labelled['backend_args'] = dict(backend='petrel')
    monkeypatch.setattr(preflight, 'check_seg_folders', None)
    preflight.check_data(_config(train_dataloader=labelled), ('train',))


def test_splits_that_do_not_run_need_no_data():
    cfg = _config(test_dataloader=_loader(ann_file='none.json'))
    preflight.check_data(cfg, ('train', 'val'))
    preflight.check_data(_config(val_dataloader=None), ('val',))


def _weights(checkpoint, kind='Pretrained'):
    init_cfg = dict(type=kind, checkpoint=checkpoint)
    return _config(model=dict(backbone=dict(init_cfg=init_cfg)))


@pytest.mark.parametrize('kind', ['Pretrained', 'PretrainedSwin'])
def test_missing_weights(kind, tmp_path):
    with pytest.raises(UserError) as error:
        preflight.check_weights(_weights(f'{tmp_path}/a.pth', kind))
    key = 'model.backbone.init_cfg'
    assert str(error.value) == (
        f'{key}.checkpoint: the file {tmp_path}/a.pth does not exist; give a '
        f'file with --cfg-options {key}.checkpoint=FILE, or train from '
        f'scratch with {key}=None'
    )
    torch.save({}, tmp_path / 'a.pth')
    preflight.check_weights(_weights(f'{tmp_path}/a.pth', kind))
    with pytest.raises(UserError, match='is a folder'):
        preflight.check_weights(_weights(str(tmp_path), kind))


@pytest.mark.parametrize('kept', [0, 1, 0.5, 0.99])
def test_files_that_are_no_checkpoint(tmp_path, kept):
    path = tmp_path / 'a.pth'
    torch.save(dict(weight=torch.zeros(1000)), path)
    whole = path.read_bytes()
    size = kept if isinstance(kept, int) else int(kept * len(whole))
    path.write_bytes(whole[:size])
    with pytest.raises(UserError, match='is empty|is not a check|was cut off'):
        preflight.check_weights(_weights(str(path)))


def test_checkpoint_from_before_zip_files(tmp_path):
    path = str(tmp_path / 'a.pth')
    torch.save({}, path, _use_new_zipfile_serialization=False)
    preflight.check_weights(_weights(path))


def test_forget_weights():
    kaiming = dict(type='Kaiming', layer='Conv2d')
    pretrained = dict(type='Pretrained', checkpoint='none.pth')
    swin = dict(type='PretrainedSwin', checkpoint='none.pth')
    cfg = _config(
        model=dict(
            backbone=dict(init_cfg=swin),
            neck=dict(init_cfg=[kaiming, pretrained]),
            heads=[dict(init_cfg=kaiming), dict()],
        )
    )
    preflight.forget_weights(cfg)
    preflight.check_weights(cfg)
    assert cfg.model == dict(
        backbone=dict(init_cfg=None),
        neck=dict(init_cfg=[kaiming]),
        heads=[dict(init_cfg=[kaiming]), dict()],
    )


def test_weights_in_a_list_are_found(tmp_path):
    init_cfg = [dict(type='Normal', layer='Conv2d'), dict(type='Pretrained', checkpoint='none.pth')]
    cfg = _config(model=dict(neck=dict(init_cfg=init_cfg)))
    with pytest.raises(UserError, match=r'model.neck.init_cfg.1.checkpoint'):
        preflight.check_weights(cfg)


def test_weights_that_mmengine_resolves_are_left_to_it():
    preflight.check_weights(_weights('open-mmlab://resnet50'))
    preflight.check_weights(_config(model=dict(backbone=dict(init_cfg=None))))


def test_weights_by_url(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    # port 9 is "discard": nobody listens on it
    url = 'https://127.0.0.1:9/a.pth'
    with pytest.raises(UserError) as error:
        preflight.check_weights(_weights(url))
    message = str(error.value)
    assert message.startswith(f'model.backbone.init_cfg.checkpoint: {url} cannot be downloaded (')
    assert 'refused' in message
    assert '--cfg-options model.backbone.init_cfg.checkpoint=FILE' in message
    cache = tmp_path / 'hub/checkpoints'
    assert [file.name for file in cache.iterdir()] == ['a.pth.lock']
    with open(cached_file(url), 'w'):
        preflight.check_weights(_weights(url))


def test_last_checkpoint(tmp_path):
    work_dir = str(tmp_path)
    assert preflight.last_checkpoint(work_dir) is None
    (tmp_path / 'last_checkpoint').write_text(f'{tmp_path}/b.pth\n')
    torch.save({}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match=r'b.pth does not exist; .* a.pth'):
        preflight.last_checkpoint(work_dir)
    torch.save({}, tmp_path / 'b.pth')
    assert preflight.last_checkpoint(work_dir) == f'{tmp_path}/b.pth'
    for broken in (b'', b'\xff\xfe\x00'):
        (tmp_path / 'last_checkpoint').write_bytes(broken)
        with pytest.raises(UserError, match='last_checkpoint: .* not exist'):
            preflight.last_checkpoint(work_dir)


@pytest.mark.parametrize(
    'launcher,variable,command',
    [
        ('pytorch', 'RANK', 'torchrun'),
        ('slurm', 'SLURM_PROCID', 'srun'),
        ('mpi', 'OMPI_COMM_WORLD_RANK', 'mpirun'),
    ],
)
def test_a_launcher_that_started_nothing(monkeypatch, launcher, variable, command):
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UserError, match=f'{variable} is not set.*{command}'):
        preflight.check_launcher(_config(launcher=launcher))
    preflight.check_launcher(_config(launcher='none'))


def test_packages(monkeypatch):
    preflight.check_packages(_config(default_scope='mmdet'))
    preflight.check_packages(_config())
    with pytest.raises(UserError, match='runs on mmnothing.*make setup'):
        preflight.check_packages(_config(default_scope='mmnothing'))
    found = preflight.find_spec
    monkeypatch.setattr(
        preflight, 'find_spec', lambda name: None if name == 'mmcv._ext' else found(name)
    )
    with pytest.raises(UserError, match='mmcv._ext is not installed'):
        preflight.check_packages(_config(default_scope='mmdet'))


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
    needs = list(preflight.data_needs(cfg, 'train'))
    assert needs == [
        ('root/train', 'train_dataloader.dataset.split', 'train_dataloader.dataset.data_root=DIR')
    ]
    assert _paths(cfg, 'val') == ['root/some']
    (need,) = preflight.data_needs(cfg, 'test')
    assert need == (
        'val',
        'test_dataloader.dataset.data_prefix',
        'test_dataloader.dataset.data_prefix=PATH',
    )


def test_data_that_is_downloaded_need_not_be_there():
    dataset = dict(type='CIFAR10', data_root='root', data_prefix='cifar')
    assert _paths(_config(train_dataloader=dict(dataset=dataset))) == []


def test_a_split_is_found_by_its_root():
    dataset = dict(type='ImageNet', data_root='', split='val')
    cfg = _config(default_scope='mmpretrain', val_dataloader=dict(dataset=dataset))
    (need,) = preflight.data_needs(cfg, 'val')
    assert need.option == 'val_dataloader.dataset.data_root=DIR'


@pytest.mark.parametrize('scope,prefix', [('mmpretrain', ['images']), ('mmdet', 'images')])
def test_folders_that_are_no_dict(scope, prefix):
    dataset = dict(data_root='root', data_prefix=prefix)
    cfg = _config(default_scope=scope, train_dataloader=dict(dataset=dataset))
    with pytest.raises(UserError, match='data_prefix must be a dict of fold'):
        preflight.check_data(cfg, ['train'])


def test_work_dir(tmp_path):
    preflight.check_work_dir(_config(work_dir=f'{tmp_path}/a/b'))
    assert (tmp_path / 'a/b').is_dir()
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='file cannot be written.*--work-dir'):
        preflight.check_work_dir(_config(work_dir=f'{tmp_path}/file'))


def test_display(monkeypatch):
    monkeypatch.setattr('sys.platform', 'linux')
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match='--show-dir'):
        preflight.check_display()
    monkeypatch.setenv('WAYLAND_DISPLAY', 'wayland-0')
    preflight.check_display()


def test_float16_needs_a_gpu(monkeypatch):
    amp = _config(optim_wrapper=dict(type='AmpOptimWrapper'))
    monkeypatch.setattr(preflight, 'get_device', lambda: 'cpu')
    with pytest.raises(UserError, match='--amp-dtype bfloat16.*BFloat16'):
        preflight.check_amp(amp)
    for wrapper in (None, dict(type='OptimWrapper')):
        preflight.check_amp(_config(optim_wrapper=wrapper))
    monkeypatch.setattr(preflight, 'get_device', lambda: 'cuda')
    preflight.check_amp(amp)
