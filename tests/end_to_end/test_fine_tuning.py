"""A detector of 80 classes is fine-tuned on another set, just so."""

import pytest
import torch
from detection import ROOT, tiny_config
from mmengine.registry import MODELS, init_default_scope
from tool_process import run_tool

from sparx_mm.demo import CLASSES
from sparx_mm.run import load_runner
from sparx_mm.state_dicts import SPARX

CONFIG = ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py'
# the three layers that know the number of classes
HEADS = ('roi_head.bbox_head.fc_cls', 'roi_head.bbox_head.fc_reg', 'roi_head.mask_head.conv_logits')


@pytest.fixture
def config(shapes, tmp_path):
    cfg = tiny_config(
        CONFIG,
        shapes,
        train_cfg__max_epochs=1,
        default_hooks__logger__interval=1,
        # so that the weights are still those of the file
        optim_wrapper__optimizer__lr=0.0,
    )
    cfg.dump(tmp_path / 'tiny.py')
    return cfg


@pytest.fixture
def released(config, tmp_path):
    """A detector of 80 classes in the layout of a released file."""
    init_default_scope('mmdet')
    model = config.copy().model
    for head in ('bbox_head', 'mask_head'):
        model.roi_head[head].num_classes = 80
    weights = SPARX.to_released(MODELS.build(model).state_dict(), 'backbone.')
    torch.save(dict(state_dict=weights, meta={}), tmp_path / 'coco.pth')
    return weights


def test_eighty_classes_to_six(released, tmp_path):
    log = run_tool(
        'train',
        'tiny.py',
        '--work-dir',
        'out',
        '--cfg-options',
        'load_from=coco.pth',
        folder=tmp_path,
    )
    (line,) = [m for m in log.splitlines() if 'tensors loaded' in m]
    count = len(released)
    assert f'coco.pth: {count - 6} of {count} tensors loaded' in line
    assert f'of another shape: {HEADS[0]}.weight, {HEADS[0]}.bias, ' in line
    assert f'{HEADS[1]}.weight and 3 more' in line
    assert 'Epoch(train) [1][2/2]' in log and 'coco/bbox_mAP' in log
    trained = torch.load(tmp_path / 'out/epoch_1.pth', weights_only=False)
    trained = SPARX.to_released(trained['state_dict'], 'backbone.')
    assert trained.keys() == released.keys()
    for name, value in trained.items():
        if name.rpartition('.')[0] in HEADS:
            assert value.shape != released[name].shape
            assert len(value) in (len(CLASSES) + 1, 4 * len(CLASSES), len(CLASSES))
        elif not name.endswith(('mean', 'var', 'tracked')):
            assert value.equal(released[name]), name


def test_an_averaged_model_is_tested(shapes, tmp_path):
    """The hook that averages in training has nothing to do in a test."""
    ema = dict(type='EMAHook')
    cfg = tiny_config(CONFIG, shapes, str(tmp_path / 'run'), default_hooks__ema=ema)
    init_default_scope('mmdet')
    weights = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=weights, meta={}), tmp_path / 'a.pth')
    runner = load_runner(cfg, str(tmp_path / 'a.pth'))
    loaded = runner.model.state_dict()
    assert all(loaded[name].equal(weights[name]) for name in weights)
    assert runner.test()
