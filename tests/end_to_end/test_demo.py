"""The demo in small: it measures what it prints and shows what it trained."""
import json

import cv2
from detection import run_tool

SMALL = ('--train', 4, '--val', 2, '--cfg-options', 'train_cfg.max_epochs=1',
         'train_dataloader.batch_size=2')


def _numbers(output, name):
    (line, ) = (li for li in output.splitlines() if li.startswith(name))
    return line.split()[1:]


def test_demo(tmp_path):
    arguments = ('--data', 'shapes', '--work-dir', 'demo', *SMALL)
    output = run_tool('demo', *arguments, folder=tmp_path)
    results = json.loads((tmp_path / 'demo/results.json').read_text())
    keys = [f'coco/{k}_mAP{t}' for k in ('bbox', 'segm') for t in ('', '_50')]
    for name in ('untrained', 'trained'):
        measured = [results[name].get(key) for key in keys]
        assert _numbers(output, name) == [
            '-' if number is None else f'{number:.3f}' for number in measured
        ]
    # two columns of images, ground truth above prediction
    picture = cv2.imread(str(tmp_path / 'demo/predictions.png'))
    assert picture.shape == (2 * (28 + 256 + 6), 2 * (256 + 6), 3)
    for file in ('predictions.png', 'results.json', 'training/epoch_1.pth'):
        assert str(tmp_path / 'demo' / file) in output
        assert (tmp_path / 'demo' / file).is_file()

    # a second run that fails does not show the results of the first
    output = run_tool(
        'demo',
        *arguments,
        'model.backbone.frozen_stages=9',
        folder=tmp_path,
        status=1)
    assert output.splitlines()[-1].startswith('error: config: frozen_stages')
    left = {path.name for path in (tmp_path / 'demo').iterdir()}
    assert not left & {'predictions.png', 'results.json'}
