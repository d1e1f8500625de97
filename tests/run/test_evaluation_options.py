"""What the options of test.py make of a config of mmseg."""

import pytest
from classification import CONFIG as CLASSIFIER
from detection import CONFIG as DETECTOR
from segmentation import CONFIG as SEGMENTOR

from sparx_mm.errors import UserError
from sparx_mm.run import load_config
from sparx_mm.run.evaluation_options import dump_predictions, paint_predictions, use_tta


@pytest.fixture
def cfg():
    return load_config(str(SEGMENTOR))


def test_out_is_a_folder(cfg, tmp_path):
    metric = cfg.test_evaluator
    dump_predictions(cfg, str(tmp_path / 'a/b'))
    root = cfg.test_dataloader.dataset.data_root
    assert cfg.test_evaluator == [
        metric,
        dict(
            type='DumpLabelMaps', out_dir=str(tmp_path / 'a/b'), roots=[f'{root}images/validation']
        ),
    ]


@pytest.mark.parametrize('kind', [list, tuple])
def test_out_beside_several_metrics(cfg, tmp_path, kind):
    metrics = kind([dict(type='IoUMetric'), dict(type='CityscapesMetric')])
    cfg.test_evaluator = metrics
    dump_predictions(cfg, str(tmp_path))
    assert kind(cfg.test_evaluator[:2]) == metrics
    assert cfg.test_evaluator[2].type == 'DumpLabelMaps'


def test_out_that_is_no_folder(cfg, tmp_path):
    with pytest.raises(UserError, match='--out is the folder'):
        dump_predictions(cfg, 'a.pkl')
    (tmp_path / 'file').write_text('')
    for out in (tmp_path / 'file', tmp_path / 'file/folder'):
        with pytest.raises(UserError, match=f'{out} cannot be .*--out'):
            dump_predictions(cfg, str(out))
    assert [path.name for path in tmp_path.iterdir()] == ['file']


@pytest.mark.parametrize('out', ['annotations/validation', 'link/deeper'])
def test_out_among_the_data(cfg, tmp_path, out):
    folder = tmp_path / 'annotations/validation'
    folder.mkdir(parents=True)
    (tmp_path / 'link').symlink_to(folder)
    cfg.test_dataloader.dataset.data_root = str(tmp_path)
    with pytest.raises(UserError, match='is a folder of the data'):
        dump_predictions(cfg, str(tmp_path / out))
    assert not list(folder.iterdir())


def test_show_dir(cfg, tmp_path):
    place = str(tmp_path / 'painted')
    paint_predictions(cfg, False, place, 2)
    assert cfg.visualizer.save_dir == place
    hook = cfg.default_hooks.visualization
    assert hook.draw and not hook.show and hook.wait_time == 2
    # each image, where mmseg 1.2 paints one of fifty
    assert hook.interval == 1
    (tmp_path / 'file').write_text('')
    for bad in (str(tmp_path / 'file'), ''):
        with pytest.raises(UserError, match='cannot be written.*--show-dir'):
            paint_predictions(cfg, False, bad, 2)
    cfg.visualizer.vis_backends = None
    with pytest.raises(UserError, match='LocalVisBackend'):
        paint_predictions(cfg, False, place, 2)


def test_show_dir_for_a_classifier(tmp_path):
    cfg = load_config(str(CLASSIFIER))
    paint_predictions(cfg, False, 'painted', 2)
    # all that mmpretrain's hook takes, and each image
    assert cfg.default_hooks.visualization == dict(
        type='VisualizationHook',
        enable=True,
        interval=1,
        show=False,
        wait_time=2,
        out_dir='painted',
    )


def test_tta_reaches_every_data_set(cfg):
    plain = cfg.test_dataloader.dataset
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=[plain, plain])
    model = cfg.model
    use_tta(cfg)
    assert [part.pipeline for part in cfg.test_dataloader.dataset.datasets] == [
        cfg.tta_pipeline
    ] * 2
    assert cfg.model == dict(type='SegTTAModel', module=model)


def test_tta_needs_its_settings():
    cfg = load_config(str(DETECTOR))
    with pytest.raises(UserError, match='no tta_model and no tta_pipeline'):
        use_tta(cfg)
