"""A model that is tested gets all of its weights, or the test does not run."""

from copy import deepcopy

import pytest
import torch
from detection import ROOT, tiny_config
from mmengine.registry import MODELS, init_default_scope
from segmentation import tiny_config as tiny_segmentor

from sparx_mm.run import load_runner
from sparx_mm.state_dicts import CoverageError

pytestmark = pytest.mark.stack
DETECTOR = ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py'
SEGMENTOR = ROOT / 'configs/mmseg/upernet_sparx_t.py'


def _weights(cfg, scope, **num_classes):
    init_default_scope(scope)
    model = deepcopy(cfg.model)
    for head, number in num_classes.items():
        (model.get(head) or model.roi_head[head])['num_classes'] = number
    return MODELS.build(model).state_dict()


@pytest.fixture
def detector(shapes, tmp_path):
    return tiny_config(DETECTOR, shapes, str(tmp_path / 'out'))


@pytest.fixture
def segmentor(ade, tmp_path):
    return tiny_segmentor(SEGMENTOR, ade, str(tmp_path / 'out'))


def _save(path, weights, **meta):
    torch.save(dict(state_dict=weights, meta=meta), path / 'a.pth')
    return str(path / 'a.pth')


@pytest.mark.tries('a test of a checkpoint')
@pytest.mark.parametrize('number', [2, 80])
@pytest.mark.parametrize('tells', [True, False], ids=['meta', 'shapes'])
def test_heads_of_other_classes(detector, tmp_path, number, tells):
    weights = _weights(detector, 'mmdet', bbox_head=number, mask_head=number)
    meta = dict(dataset_meta=dict(classes=tuple(map(str, range(number))))) if tells else {}
    with pytest.raises(CoverageError) as error:
        load_runner(detector, _save(tmp_path, weights, **meta))
    assert str(error.value) == (
        f'{tmp_path}/a.pth was trained for {number} classes, the config has 6 '
        '(roi_head.bbox_head, roi_head.mask_head): its results would be those of random '
        'weights; give the config that it was trained with'
    )


@pytest.mark.tries('a test of a checkpoint')
@pytest.mark.parametrize('drop', ['rpn_head.', 'backbone.norms.0.', 'neck.fpn_convs.2.conv.bias'])
def test_what_is_missing(detector, tmp_path, drop):
    weights = _weights(detector, 'mmdet')
    weights = {name: value for name, value in weights.items() if not name.startswith(drop)}
    with pytest.raises(CoverageError, match=rf'(does not fill .*|it lacks ){drop}'):
        load_runner(detector, _save(tmp_path, weights))


def test_scalars_of_weighted_sums_may_be_missing(detector, tmp_path):
    weighted = deepcopy(detector)
    weighted.model.backbone.arch['inputs'] = 'weighted'
    load_runner(weighted, _save(tmp_path, _weights(detector, 'mmdet')))
    with pytest.raises(CoverageError, match='no place for .*weighted_sum.weight'):
        load_runner(detector, _save(tmp_path, _weights(weighted, 'mmdet')))


def test_what_a_test_does_not_run_may_be_missing(segmentor, tmp_path):
    weights = _weights(segmentor, 'mmseg', auxiliary_head=7)
    weights = {name: v for name, v in weights.items() if not name.endswith('num_batches_tracked')}
    load_runner(segmentor, _save(tmp_path, weights))
    for name in list(weights):
        if name.startswith('auxiliary_head.'):
            del weights[name]
    load_runner(segmentor, _save(tmp_path, weights))
    del weights['decode_head.fpn_bottleneck.bn.running_var']
    with pytest.raises(CoverageError, match=r'1 of \d+ tensors .*bottleneck.bn.running_var'):
        load_runner(segmentor, _save(tmp_path, weights))


@pytest.mark.tries('a test of a checkpoint')
def test_a_segmentor_of_other_classes(segmentor, tmp_path):
    weights = _weights(segmentor, 'mmseg', decode_head=19)
    with pytest.raises(CoverageError, match=r'19 classes, the config has 150 \(decode_head\): '):
        load_runner(segmentor, _save(tmp_path, weights))
