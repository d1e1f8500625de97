"""What the options of test.py make of a config of mmseg."""
import pytest
from detection import CONFIGS as MMDET_CONFIGS
from segmentation import CONFIGS

from sparx_mm.engine import UserError, load_config
from sparx_mm.engine.testing import (dump_predictions, paint_predictions,
                                     use_tta)


@pytest.fixture
def cfg():
    return load_config(str(CONFIGS[-1]))


def test_out_is_a_folder(cfg, tmp_path):
    dump_predictions(cfg, str(tmp_path / 'a/b'))
    assert cfg.test_evaluator == dict(
        type='IoUMetric',
        iou_metrics=['mIoU'],
        output_dir=str(tmp_path / 'a/b'))
    # what the run writes with is unchanged
    assert 'output_dir' not in cfg.val_evaluator


def test_out_beside_another_metric(cfg, tmp_path):
    other = dict(type='CityscapesMetric')
    cfg.test_evaluator = [other, cfg.test_evaluator]
    dump_predictions(cfg, str(tmp_path))
    assert cfg.test_evaluator[0] == other
    assert cfg.test_evaluator[1].output_dir == str(tmp_path)
    cfg.test_evaluator = other
    with pytest.raises(UserError, match='--out needs an IoUMetric'):
        dump_predictions(cfg, str(tmp_path))


def test_out_that_is_no_folder(cfg, tmp_path):
    (tmp_path / 'file').write_text('')
    for out in ('a.pkl', tmp_path / 'file', tmp_path / 'file/folder'):
        with pytest.raises(UserError, match=f'{out} cannot be one'):
            dump_predictions(cfg, str(out))
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_show_dir(cfg):
    paint_predictions(cfg, False, 'painted', 2)
    assert cfg.visualizer.save_dir == 'painted'
    hook = cfg.default_hooks.visualization
    assert hook.draw and not hook.show and hook.wait_time == 2
    cfg.visualizer = None
    with pytest.raises(UserError, match='and a visualizer'):
        paint_predictions(cfg, False, 'painted', 2)


def test_tta_reaches_the_innermost_data_set(cfg):
    plain = cfg.test_dataloader.dataset
    cfg.test_dataloader.dataset = dict(
        type='RepeatDataset', times=1, dataset=plain)
    model = cfg.model
    use_tta(cfg)
    assert cfg.test_dataloader.dataset.dataset.pipeline == cfg.tta_pipeline
    assert cfg.model == dict(type='SegTTAModel', module=model)


def test_tta_needs_its_settings():
    cfg = load_config(str(MMDET_CONFIGS[0]))
    with pytest.raises(UserError, match='no tta_model and no tta_pipeline'):
        use_tta(cfg)
