"""Means without some classes, and nothing else of mmseg's metric changed."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample

from sparx_mm.engine import SelectiveIoUMetric
from sparx_mm.errors import ConfigError

META = dict(classes=('road', 'roof', 'clutter', 'car'))
KINDS = dict(iou_metrics=['mIoU', 'mDice', 'mFscore'])


def _samples(number=3):
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(number):
        truth = rng.integers(0, 3, (1, 8, 9))
        # half of the pixels are right, some are ignored
        found = np.where(rng.random(truth.shape) < 0.5, truth, rng.integers(0, 4, truth.shape))
        truth[:, 0, :3] = 255
        sample = SegDataSample(
            gt_sem_seg=PixelData(data=torch.from_numpy(truth)),
            pred_sem_seg=PixelData(data=torch.from_numpy(found)),
        )
        samples.append(sample.to_dict())
    return samples


def _evaluate(metric, samples):
    metric.dataset_meta = META
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(len(samples))


def _values(ignored, **kwargs):
    return _evaluate(SelectiveIoUMetric(ignored, **KINDS, **kwargs), _samples())


def test_without_a_name_it_is_the_metric():
    assert _values([]) == _evaluate(IoUMetric(**KINDS), _samples())


def test_means_are_over_the_other_classes(capsys):
    samples = _samples()
    whole, found = _evaluate(IoUMetric(**KINDS), samples), _values(['clutter'])
    assert found.keys() == whole.keys()
    assert found['aAcc'] == whole['aAcc']
    truth = np.concatenate([s['gt_sem_seg']['data'].numpy().ravel() for s in samples])
    guess = np.concatenate([s['pred_sem_seg']['data'].numpy().ravel() for s in samples])
    guess, truth = guess[truth != 255], truth[truth != 255]
    ious, recalls = [], []
    for label in (0, 1, 3):
        hit = ((guess == label) & (truth == label)).sum()
        ious.append(hit / ((guess == label) | (truth == label)).sum())
        if label != 3:
            # no pixel is a car: its recall is NaN, which mmseg leaves out
            recalls.append(hit / (truth == label).sum())
    assert found['mIoU'] == pytest.approx(100 * np.mean(ious), abs=5e-3) != whole['mIoU']
    assert found['mRecall'] == pytest.approx(100 * np.mean(recalls), abs=5e-3)


def test_the_table_shows_every_class(capsys):
    _values(['clutter'])
    table = capsys.readouterr().out
    assert all(f' {name} ' in table for name in META['classes'])


def test_predictions_are_written_as_before(tmp_path):
    metric = SelectiveIoUMetric(['clutter'], output_dir=str(tmp_path), format_only=True)
    sample = dict(_samples(1)[0], img_path='a/b.png')
    assert _evaluate(metric, [sample]) == {}
    assert (tmp_path / 'b.png').exists()


@pytest.mark.parametrize(
    'ignored, message',
    [
        (['cluter'], "has 'cluter', which is no class: the classes are road, roof, clutter, car"),
        (META['classes'], 'names every class'),
        ('clutter', "must be a list of names, got 'clutter'"),
    ],
)
def test_mistakes(ignored, message):
    with pytest.raises(ConfigError, match=message):
        _values(ignored)
