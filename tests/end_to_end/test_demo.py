"""The demo in small: it measures what it prints and shows what it trained."""

import json

import cv2
import pytest
from tool_process import run_tool

from sparx_mm.demo.sheet import GAP, HEADER

DATA = ('--data', 'shapes', '--work-dir', 'demo', '--train', 4, '--val', 2)
OPTIONS = (
    '--cfg-options',
    'train_dataloader.batch_size=2',
    'segmentation.train_cfg.max_iters=2',
    'detection.train_cfg.max_epochs=1',
    'detection.model.train_cfg.rcnn.sampler.num=32',
    'detection.model.test_cfg.rcnn.max_per_img=20',
)
BOTH = ('detection', 'segmentation')
PICTURES = dict(detection='predictions.png', segmentation='segmentation.png')
# metrics in the order of the table, and its decimals
METRICS = dict(
    segmentation=(['mIoU', 'mAcc', 'aAcc'], 2),
    detection=([f'coco/{k}_mAP{t}' for k in ('bbox', 'segm') for t in ('', '_50')], 3),
)


def _numbers(output, name):
    """Return the cells of the lines that begin with a name."""
    lines = [line.split() for line in output.splitlines()]
    return [cells[1:] for cells in lines if cells[:1] == [name]]


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    """Run the demo; return its folder and what it printed."""
    folder = tmp_path_factory.mktemp('run')
    return folder, run_tool('demo', *DATA, *OPTIONS, folder=folder)


def test_tables(demo):
    folder, output = demo
    results = json.loads((folder / 'demo/results.json').read_text())
    assert list(results) == ['untrained', 'trained']
    for name, metrics in results.items():
        expected = []
        for keys, digits in (METRICS[part] for part in BOTH):
            measured = [metrics.get(key) for key in keys]
            expected.append(
                ['-' if number is None else f'{number:.{digits}f}' for number in measured]
            )
        assert _numbers(output, name) == expected
        assert 0 <= metrics['mIoU'] <= metrics['aAcc'] <= 100


def test_the_segmentor_starts_from_the_detector(demo):
    folder, output = demo
    loaded = f'SparXMamba: {folder}/demo/detection/training/epoch_1.pth: '
    # before it is measured, and before it is trained
    assert sum(loaded in line and 'tensors loaded' in line for line in output.splitlines()) == 2


def test_a_segmentor_alone(demo, tmp_path):
    folder, _ = demo
    output = run_tool(
        'demo',
        '--data',
        folder / 'shapes',
        *DATA[2:],
        '--parts',
        'segmentation',
        folder=tmp_path,
        status=1,
    )
    assert 'give a file with --cfg-options model.backbone.init_cfg.' in output


def test_pictures(demo):
    folder, output = demo
    # two columns of images, ground truth above prediction
    height, width = 2 * (HEADER + 384 + GAP), 2 * (384 + GAP)
    detection, segmentation = (
        cv2.imread(str(folder / 'demo' / PICTURES[part])) for part in ('detection', 'segmentation')
    )
    assert detection.shape == (height, width, 3)
    # and below them its legend
    assert segmentation.shape[1:] == (width, 3)
    assert segmentation.shape[0] > height
    for file in (
        *PICTURES.values(),
        'results.json',
        'segmentation/training/iter_2.pth',
        'detection/training/epoch_1.pth',
    ):
        assert str(folder / 'demo' / file) in output
        assert (folder / 'demo' / file).is_file()


def test_failure_shows_nothing_of_an_older_run(demo):
    folder, _ = demo
    before = (folder / 'shapes/shapes.json').stat().st_mtime_ns
    # an option without the name of a part goes to both
    output = run_tool(
        'demo',
        *DATA,
        '--parts',
        'detection',
        *OPTIONS,
        'model.backbone.frozen_stages=9',
        folder=folder,
        status=1,
    )
    assert output.splitlines()[-1].startswith('error: config: model.backbone: frozen_stages')
    left = {path.name for path in (folder / 'demo').iterdir()}
    assert left == {*BOTH}
    # the data are not drawn again
    assert (folder / 'shapes/shapes.json').stat().st_mtime_ns == before
