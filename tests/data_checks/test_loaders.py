"""Images are checked while a run loads them, whatever its library."""

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import TRANSFORMS

from sparx_mm.data_checks import use_checked_loaders
from sparx_mm.engine.transforms.load_image import LoadCheckedImage
from sparx_mm.errors import UserError
from sparx_mm.libraries import LIBRARIES

pytestmark = pytest.mark.stack


def _config(scope, **kwargs):
    def loader(name):
        steps = [dict(type=name), dict(type='LoadAnnotations')]
        return dict(dataset=dict(type='RepeatDataset', dataset=dict(pipeline=steps)))

    prefix = 'mmdet.' if scope == 'mmrotate' else ''
    loaders = {f'{s}_dataloader': loader(f'{prefix}LoadImageFromFile') for s in ('train', 'val')}
    return Config(dict(loaders, default_scope=scope, **kwargs))


@pytest.mark.parametrize('scope', LIBRARIES)
def test_the_loaders_of_a_library(scope, tmp_path):
    cfg = _config(scope)
    before = cfg.to_dict()
    use_checked_loaders(cfg)
    # what is written beside a run's checkpoints is what other programs read
    assert cfg.to_dict() == before
    step = cfg.train_dataloader.dataset.dataset.pipeline[0]
    loader = TRANSFORMS.build(dict(step, _scope_=scope))
    (tmp_path / 'a.jpg').write_bytes(b'')
    with pytest.raises(UserError, match=f'image {tmp_path}/a.jpg is empty'):
        loader(dict(img_path=f'{tmp_path}/a.jpg'))


@pytest.mark.parametrize('scope', LIBRARIES)
@pytest.mark.parametrize('kind', [LoadImageFromFile, 'mmcv.transforms.LoadImageFromFile'])
def test_classes_in_the_place_of_names(scope, kind):
    cfg = _config(scope, skip_broken=True)
    steps = [dict(type=kind), dict(type=LoadAnnotations)]
    cfg.train_dataloader.dataset.dataset.pipeline = steps
    use_checked_loaders(cfg)
    loader, labels = cfg.train_dataloader.dataset.dataset.pipeline
    # a name can be read where this package is not installed
    assert loader == dict(type='LoadImageFromFile', ignore_empty=True)
    assert isinstance(TRANSFORMS.build(dict(loader, _scope_=scope)), LoadCheckedImage)
    # mmcv's class is not the one that the name means to a library
    assert labels.type is LoadAnnotations


def test_label_maps_of_a_class():
    from mmseg.datasets.transforms import LoadAnnotations

    cfg = _config('mmseg')
    cfg.test_pipeline = [dict(type=LoadAnnotations)]
    use_checked_loaders(cfg)
    step = TRANSFORMS.build(dict(cfg.test_pipeline[0], _scope_='mmseg'))
    assert type(step).__name__ == 'LoadCheckedSegMap'


def test_only_training_skips_images():
    cfg = _config('mmdet', skip_broken=True)
    use_checked_loaders(cfg)
    train, val = (cfg[f'{s}_dataloader'].dataset.dataset.pipeline for s in ('train', 'val'))
    assert train == [dict(type='LoadImageFromFile', ignore_empty=True), train[1]]
    assert train[1] == val[1] and val[0] == dict(type='LoadImageFromFile')


def test_the_pipeline_that_a_hook_switches_to_skips_them_too():
    steps = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    hook = dict(type='PipelineSwitchHook', switch_epoch=1, switch_pipeline=steps)
    cfg = _config('mmdet', skip_broken=True, custom_hooks=[dict(type='EMAHook'), hook])
    use_checked_loaders(cfg)
    loader, labels = cfg.custom_hooks[1].switch_pipeline
    assert loader.ignore_empty and labels == steps[1]


def test_a_config_of_mmengine_alone():
    cfg = Config(dict(train_dataloader=None, skip_broken=True))
    use_checked_loaders(cfg)
    assert cfg.train_dataloader is None


def test_inferencers_load_as_before(tmp_path):
    """They swap the loader of a pipeline for one that takes files and arrays."""
    use_checked_loaders(_config('mmdet'))
    image = np.random.default_rng(0).integers(0, 255, (8, 9, 3), np.uint8)
    cv2.imwrite(f'{tmp_path}/a.png', image)
    loader = TRANSFORMS.build(dict(type='InferencerLoader', _scope_='mmdet'))
    for given in (f'{tmp_path}/a.png', image):
        assert np.array_equal(loader(given)['img'], image)
