"""Draw shapes, train a small detector and segmentor, measure and show them.

What it runs can be typed as well: tools/make_shapes.py, and train.py, test.py
and draw_predictions.py with the configs named below.
"""

import json
import time
from pathlib import Path
from typing import NamedTuple

from sparx_mm.demo import draw_predictions, make_shapes, write_picture
from sparx_mm.errors import UserError, user_errors
from sparx_mm.run import (
    ArgumentParser,
    CfgOptionsAction,
    load_config,
    load_runner,
    show_progress,
    test,
    train,
)

ROOT = Path(__file__).resolve().parents[1]


class Part(NamedTuple):
    """One model of the demo.

    Args:
        config (str): Below ``configs/``.
        columns (dict): Column heads of its table, and mmengine's names of
            what is below.
        digits (int): Of a number in the table, behind the point.
        picture (str): Name of the picture of its predictions.
        annotations (str, optional): What its evaluators read of the data.
            Default: None.
        start (str, optional): The part whose trained backbone it starts
            from. Default: None.
    """

    config: str
    columns: dict[str, str]
    digits: int
    picture: str
    annotations: str | None = None
    start: str | None = None


START = 'model.backbone.init_cfg.checkpoint'
# the segmentor last: it starts from the backbone of the detector
PARTS = dict(
    detection=Part(
        config='mmdet/mask_rcnn_sparx_demo_shapes.py',
        columns={
            'box AP': 'coco/bbox_mAP',
            'box AP50': 'coco/bbox_mAP_50',
            'mask AP': 'coco/segm_mAP',
            'mask AP50': 'coco/segm_mAP_50',
        },
        digits=3,
        picture='predictions.png',
        annotations='annotations/instances_val.json',
    ),
    segmentation=Part(
        config='mmseg/semantic_fpn_sparx_demo_shapes.py',
        columns=dict(mIoU='mIoU', mAcc='mAcc', aAcc='aAcc'),
        digits=2,
        picture='segmentation.png',
        start='detection',
    ),
)


def parse_args():
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--parts',
        nargs='+',
        choices=PARTS,
        default=list(PARTS),
        help='default: all; segmentation starts from what detection trained in the same folder',
    )
    parser.add_argument('--data', default=ROOT / 'data/shapes', help='default: data/shapes')
    parser.add_argument(
        '--work-dir', type=Path, default=ROOT / 'work_dirs/demo', help='default: work_dirs/demo'
    )
    parser.add_argument('--train', type=int, default=400, metavar='N', help='training images')
    parser.add_argument('--val', type=int, default=100, metavar='N', help='test images')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptionsAction,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the configs: of both, or of one with the '
        'name of its part and a dot before the key',
    )
    return parser.parse_args()


def options_of(name, data, given):
    """What a part's config gets: where the data is, and what is given."""
    options = {
        f'{split}_dataloader.dataset.data_root': str(data) for split in ('train', 'val', 'test')
    }
    if PARTS[name].annotations is not None:
        for split in ('val', 'test'):
            path = f'{data}/{PARTS[name].annotations}'
            options[f'{split}_evaluator.ann_file'] = path
    for key, value in given.items():
        first, _, rest = key.partition('.')
        if first in PARTS and not rest:
            raise UserError(
                f'--cfg-options {key}={value} names a part and no '
                f'setting of it: give {first}.KEY={value}'
            )
        if first not in PARTS:
            options[key] = value
        elif first == name:
            options[rest] = value
    return options


def last_checkpoint(folder):
    """The last checkpoint of a part; None before it was trained."""
    pointer = folder / 'training/last_checkpoint'
    return pointer.read_text() if pointer.is_file() else None


def print_table(part, results):
    print('\n' + ' ' * 10 + ''.join(f'{head:>11}' for head in part.columns))
    for name, metrics in results.items():
        # an evaluation that found no box at all has no AP to print
        cells = [metrics.get(key) for key in part.columns.values()]
        cells = ['-' if cell is None else f'{cell:.{part.digits}f}' for cell in cells]
        print(f'{name:<10}' + ''.join(f'{cell:>11}' for cell in cells))


def run_part(part, options, work_dir, picture):
    """Measure, train, measure again and draw; return the measurements."""
    config = str(ROOT / 'configs' / part.config)

    def run(name):
        return dict(work_dir=str(work_dir / name), cfg_options=options)

    start = time.time()
    untrained = test(config, None, **run('untrained'))
    begin = time.time()
    train(config, **run('training'))
    seconds = time.time() - begin
    checkpoint = last_checkpoint(work_dir)
    runner = load_runner(load_config(config, **run('trained')), checkpoint)
    results = dict(untrained=untrained, trained=runner.test())
    dataset = runner.test_dataloader.dataset
    write_picture(
        str(picture), draw_predictions(runner.model, dataset, range(min(6, len(dataset))))
    )
    print_table(part, results)
    print(f'training {seconds:.0f} s, everything {time.time() - start:.0f} s')
    print(f'picture: {picture}\ncheckpoint: {checkpoint}\n')
    return results


@user_errors()
def main():
    args = parse_args()
    work_dir = args.work_dir.resolve()
    table = work_dir / 'results.json'
    pictures = {name: work_dir / part.picture for name, part in PARTS.items()}
    options = {name: options_of(name, args.data, args.cfg_options) for name in args.parts}
    try:
        # an interrupted run must not leave an older one's results to be seen
        for file in (table, *pictures.values()):
            file.unlink(missing_ok=True)
        make_shapes(str(args.data), args.train, args.val, progress=show_progress)
    except (ValueError, OSError) as error:
        raise UserError(error) from error
    results = dict(untrained={}, trained={})
    for name in [name for name in PARTS if name in args.parts]:
        start = PARTS[name].start and last_checkpoint(work_dir / PARTS[name].start)
        if start:
            options[name] = {START: start, **options[name]}
        measured = run_part(PARTS[name], options[name], work_dir / name, pictures[name])
        for row, metrics in measured.items():
            # mmseg's are numpy's, which json does not know
            results[row].update({k: float(v) for k, v in metrics.items()})
        table.write_text(json.dumps(results, indent=1))
    print(f'table: {table}')


if __name__ == '__main__':
    main()
