"""Spaces and letters beyond ASCII, in paths and class names, where the locale knows none."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from detection import ROOT, tiny_config

from sparx_mm.demo import CLASSES

pytestmark = pytest.mark.stack
NAMES = ('круг', '正方形', 'triángulo', 'star of 5', 'Ring’s', 'křížek')


def _run(tool, *args, folder):
    done = subprocess.run(
        [sys.executable, str(ROOT / f'tools/{tool}.py'), *map(str, args)],
        cwd=folder,
        env={**os.environ, 'LC_ALL': 'C', 'PYTHONPATH': str(ROOT)},
        capture_output=True,
    )
    log = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, log
    return log


@pytest.mark.faults
@pytest.mark.tries('spaces and letters')
def test_a_detector(shapes, tmp_path):
    data = tmp_path / 'Größe 1/данные'
    shutil.copytree(shapes, data)
    for split in ('train', 'val'):
        file = data / f'annotations/instances_{split}.json'
        content = json.loads(file.read_text())
        for category in content['categories']:
            category['name'] = NAMES[CLASSES.index(category['name'])]
        for image in content['images']:
            name = f'图 {image["file_name"]}'
            (data / split / image['file_name']).rename(data / split / name)
            image['file_name'] = name
        file.write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')
    cfg = tiny_config(
        ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py',
        data,
        train_cfg__max_epochs=1,
        train_dataloader__num_workers=1,
        # painting takes long
        model__test_cfg__rcnn__max_per_img=2,
    )
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[key].dataset.metainfo = dict(classes=NAMES)
    config = tmp_path / 'настройки é.py'
    cfg.dump(config)
    log = _run('train', config, '--work-dir', '結果 1', folder=tmp_path)
    assert 'instances_train.json: 4 images, ' in log
    log = _run('train', config, '--work-dir', '結果 1', '--resume', '--cfg-options',
               'train_cfg.max_epochs=2', folder=tmp_path)  # fmt: skip
    assert 'resumed' in log and (tmp_path / '結果 1/epoch_2.pth').exists()
    _run('test', config, '結果 1/epoch_2.pth', '--work-dir', 't', '--show-dir', 'gemälde',
         '--out', 'найдено.pkl', folder=tmp_path)  # fmt: skip
    painted = sorted(path.name for path in (tmp_path / 't').glob('*/gemälde/*'))
    assert painted == sorted(path.name for path in (data / 'val').iterdir())
    assert (tmp_path / 'найдено.pkl').exists()
