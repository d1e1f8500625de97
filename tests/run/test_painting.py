"""Pictures of equal names in several folders do not overwrite each other."""

import json
import shutil

import pytest
import torch
from classification import CONFIGS as CLASSIFIERS
from classification import tiny_config as tiny_classifier
from detection import ROOT, tiny_config
from mmengine.config import Config

from sparx_mm.run.evaluation_options import keep_subfolders, paint_predictions
from sparx_mm.run.runner import load_runner

pytestmark = pytest.mark.stack


def _paint(cfg, place):
    paint_predictions(cfg, False, str(place), 0)
    runner = load_runner(cfg, None)
    keep_subfolders(runner.visualizer, cfg)
    torch.manual_seed(0)
    runner.test()
    return sorted(str(path.relative_to(place)) for path in place.rglob('*.*') if path.is_file())


def test_a_detector(shapes, tmp_path):
    content = json.loads((shapes / 'annotations/instances_val.json').read_text())
    names = ['a/0.png', 'b/0.png', 'b/deep/0.png']
    for image, name in zip(content['images'], names, strict=True):
        (tmp_path / 'data' / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shapes / 'val' / image['file_name'], tmp_path / 'data' / name)
        image['file_name'] = name
    annotations = tmp_path / 'a.json'
    annotations.write_text(json.dumps(content))
    cfg = tiny_config(
        ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py',
        shapes,
        str(tmp_path / 'out'),
        test_dataloader__dataset__data_prefix=dict(img=str(tmp_path / 'data')),
        test_dataloader__dataset__ann_file=str(annotations),
        test_evaluator__ann_file=str(annotations),
        test_evaluator__metric=['bbox'],
        # painting takes long
        model__test_cfg__rcnn__max_per_img=2,
    )
    assert _paint(cfg, tmp_path / 'painted') == names


def test_a_classifier(imagenet, tmp_path):
    data = tmp_path / 'imagenet'
    shutil.copytree(imagenet, data)
    for path in list((data / 'val').rglob('*.JPEG')):
        path.rename(path.parent / 'same.JPEG')
    path = next(path for path in CLASSIFIERS if path.stem == 'sparx_t_in1k')
    cfg = tiny_classifier(path, data, str(tmp_path / 'out'))
    names = sorted(f'{folder.name}/same.JPEG_0.png' for folder in (data / 'val').iterdir())
    assert len(names) == 6 and _paint(cfg, tmp_path / 'painted') == names


class _Visualizer:
    def add_datasample(self, name, image, data_sample=None, out_file=None):
        self.out_file = out_file


@pytest.mark.parametrize(
    'folders,image,wanted',
    [
        (['d/a', 'd/b'], 'd/b/0.png', 'p/b/0.png'),
        (['d/a'], 'd/a/0.png', 'p/0.png'),
        (['d/a'], 'elsewhere/0.png', 'p/0.png'),
        (['s3://d/a'], 's3://d/a/0.png', 'p/0.png'),
        (['d/a'], None, 'p/0.png'),
    ],
)
def test_where_pictures_go(folders, image, wanted):
    sets = [dict(type='CocoDataset', data_prefix=dict(img=folder)) for folder in folders]
    cfg = Config(dict(test_dataloader=dict(dataset=dict(type='ConcatDataset', datasets=sets))))
    visualizer = _Visualizer()
    keep_subfolders(visualizer, cfg)
    sample = dict(img_path=image)
    visualizer.add_datasample('x', None, data_sample=sample, out_file='p/0.png')
    assert visualizer.out_file == wanted
    visualizer.add_datasample('x', None, data_sample=sample)
    assert visualizer.out_file is None
