"""The tool that checks data alone: its table, its file and its status."""

import json
import runpy
import shutil
import sys

import pytest
from detection import ROOT, tiny_config

pytestmark = pytest.mark.stack


def test_faults_and_what_is_written(shapes, tmp_path, monkeypatch, capsys):
    root = shutil.copytree(shapes, tmp_path / 'shapes')
    tiny_config(ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py', root).dump(tmp_path / 'tiny.py')
    tool = str(ROOT / 'tools/check_data.py')

    def run(*args):
        monkeypatch.setattr(sys, 'argv', [tool, str(tmp_path / 'tiny.py'), *args])
        runpy.run_path(tool, run_name='__main__')
        return capsys.readouterr().out

    assert 'train_dataloader.dataset  4' in run()
    (root / 'train/000001.png').write_bytes(b'')
    path = root / 'annotations/instances_train.json'
    content = json.loads(path.read_text())
    content['annotations'][-1]['id'] = content['annotations'][0]['id']
    path.write_text(json.dumps(content))
    with pytest.raises(SystemExit) as stopped:
        run('--skip-broken')
    output, error = capsys.readouterr()
    assert stopped.value.code == 1
    assert f'fault: image {root}/train/000001.png is empty (0 bytes)' in output
    assert error == 'error: faults in 1 of 3 data sets: 2\n'
    _, option = output.split('use it with --cfg-options ')
    option, line = option.splitlines()
    assert line == 'train_dataloader.dataset: annotations with new ids in it: 1'
    assert 'train_dataloader.dataset  3' in run('--cfg-options', option)
    next((root / 'val').iterdir()).write_bytes(b'')
    with pytest.raises(SystemExit):
        run('--skip-broken')
    output = capsys.readouterr().out
    clean = f'{root}/annotations/instances_val.clean.json'
    # a metric with the old file would count the image as missed
    keys = (
        f'{split}_{key}.ann_file'
        for key in ('dataloader.dataset', 'evaluator')
        for split in ('val', 'test')
    )
    options = [f'{key}={clean}' for key in keys]
    assert f'--cfg-options {" ".join(options)}\n' in output
    run('--cfg-options', option, *options)
    # paths are written so that they hold with any data_root
    monkeypatch.chdir(tmp_path)
    places = 'data_root=shapes', 'ann_file=annotations/instances_val.json'
    places = [f'val_dataloader.dataset.{place}' for place in places]
    with pytest.raises(SystemExit):
        run('--skip-broken', '--cfg-options', *places)
    assert f' val_dataloader.dataset.ann_file={clean} ' in capsys.readouterr().out
