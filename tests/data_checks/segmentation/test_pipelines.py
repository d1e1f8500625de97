"""Checks of label maps leave with the step that loads them."""

import pytest
from mmengine.config import Config

from sparx_mm.data_checks import settle_label_checks
from sparx_mm.engine.transforms.check_seg_map import CheckSegMap
from sparx_mm.errors import UserError

LOAD, CHECK, PACK = (dict(type=t) for t in ('LoadAnnotations', 'CheckSegMap', 'PackSegInputs'))
RESIZE = dict(type='Resize', scale=(64, 32))


def _config(split, pipeline, wrapper='RepeatDataset'):
    dataset = dict(type=wrapper, dataset=dict(type='BaseSegDataset', pipeline=pipeline))
    return Config({f'{split}_dataloader': dict(dataset=dataset)})


@pytest.mark.parametrize(
    'pipeline,left',
    [
        ([RESIZE, CHECK, PACK], [RESIZE, PACK]),
        ([LOAD, CHECK, PACK], [LOAD, CHECK, PACK]),
        (
            [dict(type='TestTimeAug', transforms=[[PACK], [CHECK]])],
            [dict(type='TestTimeAug', transforms=[[PACK]])],
        ),
        (
            [dict(type='TestTimeAug', transforms=[[LOAD], [CHECK], [PACK]])],
            [dict(type='TestTimeAug', transforms=[[LOAD], [CHECK], [PACK]])],
        ),
        ([dict(type=CheckSegMap), PACK], [PACK]),
        ([], []),
    ],
)
def test_evaluation(pipeline, left):
    cfg = _config('test', pipeline)
    settle_label_checks(cfg, ('train', 'val', 'test'))
    assert cfg.test_dataloader.dataset.dataset.pipeline == left


def test_training():
    settle_label_checks(_config('train', [LOAD, CHECK, PACK]), ('train',))
    with pytest.raises(UserError, match=r'^train_dataloader.dataset.dataset.pipeline checks'):
        settle_label_checks(_config('train', [CHECK, PACK]), ('train',))
