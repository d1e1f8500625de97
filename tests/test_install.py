"""What is installed suffices: with the line that `sparx_mm` prints, and from a wheel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from archs import PICO
from detection import tiny_config
from without import run_after_install

ROOT = Path(__file__).resolve().parents[1]
LOAD = f"""
import torch
from sparx_mm import SparXMamba
source = SparXMamba({PICO})
torch.save(source.state_dict(), 'file.pth')
model = SparXMamba({PICO}, init_cfg=dict(type='Pretrained', checkpoint='file.pth'))
model.init_weights()
own = model.state_dict()
print(all(own[name].equal(value) for name, value in source.state_dict().items()))
"""


def test_the_printed_line_gives_a_pretrained_backbone(tmp_path):
    for folder in ('before', 'after'):
        (tmp_path / folder).mkdir()
    # as after `pip install .`, without an extra
    done = run_after_install(
        ['sparx_mm'], 'import sparx_mm; sparx_mm.SparXMamba', tmp_path / 'before'
    )
    _, _, line = done.stderr.strip().rpartition('; type: pip install ')
    assert line, done.stderr
    done = run_after_install(['sparx_mm', *line.split()], LOAD, tmp_path / 'after')
    assert done.stdout.endswith('True\n'), done.stderr


INFER = """
import sparx_mm, sparx_mm.engine, sparx_mm.kernels
from mmdet.apis import DetInferencer
assert {site!r} in sparx_mm.__file__ and {site!r} in sparx_mm.kernels.__file__
predictor = sparx_mm.load('config.py', device='cpu')
import torch
torch.save(dict(state_dict=predictor.model.state_dict(), meta={{}}), 'a.pth')
found = DetInferencer('config.py', 'a.pth', device='cpu', show_progress=False)('a.png')
(sample,) = predictor.predict('a.png')
print(found['predictions'][0]['scores'] == sample.pred_instances.scores.tolist())
"""


def test_inference_from_a_wheel(shapes, tmp_path):
    clone, site, folder = (tmp_path / name for name in ('clone', 'site', 'elsewhere'))
    for name in ('sparx_mm', 'kernels'):
        shutil.copytree(ROOT / name, clone / name)
    for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, clone / name)
    pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check']
    options = ['--no-deps', '--no-index', '-q']
    wheel = [*pip, 'wheel', *options, '--no-build-isolation', '-w', str(tmp_path), str(clone)]
    subprocess.run(wheel, check=True)
    (wheel,) = tmp_path.glob('*.whl')
    subprocess.run([*pip, 'install', *options, '--target', str(site), str(wheel)], check=True)
    folder.mkdir()
    tiny_config(ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py', shapes).dump(folder / 'config.py')
    cv2.imwrite(str(folder / 'a.png'), np.zeros((48, 64, 3), np.uint8))
    done = subprocess.run(
        [sys.executable, '-c', INFER.format(site=str(site))],
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': str(site)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith('True\n'), done.stderr
