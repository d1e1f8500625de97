"""Draw shapes, train a small Mask R-CNN on them, measure it and show it.

What it runs can be typed as well: tools/make_shapes.py, train.py, test.py and
draw_predictions.py with configs/mmdet/mask_rcnn_sparx_demo_shapes.py.
"""
import json
import time
from pathlib import Path

from sparx_mm.analysis import draw_predictions, write_picture
from sparx_mm.datasets import make_shapes
from sparx_mm.engine import (ArgumentParser, Options, UserError, load_config,
                             load_runner, show_progress, test, train,
                             user_errors)

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/mmdet/mask_rcnn_sparx_demo_shapes.py'
# the column heads of the table and mmdet's names of what is below
COLUMNS = {
    'box AP': 'coco/bbox_mAP',
    'box AP50': 'coco/bbox_mAP_50',
    'mask AP': 'coco/segm_mAP',
    'mask AP50': 'coco/segm_mAP_50',
}


def parse_args():
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--data', default=ROOT / 'data/shapes', help='default: data/shapes')
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=ROOT / 'work_dirs/demo',
        help='default: work_dirs/demo')
    parser.add_argument(
        '--train', type=int, default=400, metavar='N', help='training images')
    parser.add_argument(
        '--val', type=int, default=100, metavar='N', help='test images')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        metavar='KEY=VALUE',
        help='override settings of the config')
    return parser.parse_args()


def data_options(data):
    annotations = f'{data}/annotations/instances_val.json'
    options = {f'{s}_evaluator.ann_file': annotations for s in ('val', 'test')}
    for split in ('train', 'val', 'test'):
        options[f'{split}_dataloader.dataset.data_root'] = str(data)
    return options


def print_table(results):
    print(' ' * 10 + ''.join(f'{name:>11}' for name in COLUMNS))
    for name, metrics in results.items():
        # an evaluation that found no box at all has no AP to print
        cells = [metrics.get(key) for key in COLUMNS.values()]
        cells = ['-' if cell is None else f'{cell:.3f}' for cell in cells]
        print(f'{name:<10}' + ''.join(f'{cell:>11}' for cell in cells))


@user_errors()
def main():
    args = parse_args()
    start = time.time()
    work_dir = args.work_dir.resolve()
    picture = work_dir / 'predictions.png'
    table = work_dir / 'results.json'
    # an interrupted run must not leave an older run's results to be seen
    for file in (picture, table):
        file.unlink(missing_ok=True)
    try:
        make_shapes(
            str(args.data), args.train, args.val, progress=show_progress)
    except (ValueError, OSError) as error:
        raise UserError(error) from error
    options = {**data_options(args.data), **(args.cfg_options or {})}

    def run(name):
        return dict(work_dir=str(work_dir / name), cfg_options=options)

    untrained = test(str(CONFIG), None, **run('untrained'))
    begin = time.time()
    train(str(CONFIG), **run('training'))
    seconds = time.time() - begin
    checkpoint = (work_dir / 'training/last_checkpoint').read_text()
    runner = load_runner(
        load_config(str(CONFIG), **run('trained')), checkpoint)
    results = dict(untrained=untrained, trained=runner.test())
    indices = range(min(6, args.val))
    write_picture(
        str(picture),
        draw_predictions(runner.model, runner.test_dataloader.dataset,
                         indices))
    table.write_text(json.dumps(results, indent=1))
    print()
    print_table(results)
    print(f'training {seconds:.0f} s, everything {time.time() - start:.0f} s')
    print(f'picture: {picture}\ntable: {table}\ncheckpoint: {checkpoint}')


if __name__ == '__main__':
    main()
