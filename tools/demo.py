"""Draw shapes, then train, evaluate and show a small detector and segmentor.

The same can be done by hand: tools/make_shapes.py, then train.py, test.py and
draw_predictions.py with the configs named below.
"""

import json
import time
from pathlib import Path
from typing import NamedTuple

import openmp  # noqa: F401

from sparx_mm.demo import draw_predictions, make_shapes, write_picture
from sparx_mm.errors import UserError, user_errors
from sparx_mm.run import (
    ArgumentParser,
    add_cfg_options,
    last_checkpoint,
    load_config,
    load_runner,
    show_progress,
    test,
    train,
)


class Part(NamedTuple):
    """One model of the demo.

    Args:
        config (str): Name of its config.
        columns (dict): Names of metrics by the heads of their columns.
        digits (int): Number of decimals in the table.
        picture (str): File name of the picture of its predictions.
        annotations (str, optional): File of the data that its evaluators read.
            Default: None.
        start (str, optional): Name of the part whose trained backbone it
            starts from. Default: None.
    """

    config: str
    columns: dict[str, str]
    digits: int
    picture: str
    annotations: str | None = None
    start: str | None = None


START = 'model.backbone.init_cfg.checkpoint'
# the segmentor is last because it starts from the detector's backbone
PARTS = dict(
    detection=Part(
        config='sparx_mm::mmdet/mask_rcnn_sparx_demo_shapes.py',
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
        config='sparx_mm::mmseg/semantic_fpn_sparx_demo_shapes.py',
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
    parser.add_argument('--data', default='data/shapes', help='default: data/shapes')
    parser.add_argument(
        '--work-dir', type=Path, default='work_dirs/demo', help='default: work_dirs/demo'
    )
    parser.add_argument('--train', type=int, default=400, metavar='N', help='training images')
    parser.add_argument('--val', type=int, default=100, metavar='N', help='test images')
    add_cfg_options(
        parser,
        help='override settings of both configs, or of one with the name of its '
        'part and a dot before the key',
        default={},
    )
    return parser.parse_args()


def options_of(name, data, given):
    """Return the options of a part's config: paths of the data, and those given.

    Args:
        name (str): Name of the part.
        data (str): Folder of the drawn set.
        given (dict): Values by dotted key, as ``--cfg-options`` gives them.

    Returns:
        dict: Values by dotted key.

    Raises:
        UserError: If an option names a part and no setting.
    """
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


def print_table(part, results):
    """Print the metrics of a part.

    Args:
        part (Part): The part.
        results (dict): Metrics of each row, by its name.
    """
    print('\n' + ' ' * 10 + ''.join(f'{head:>11}' for head in part.columns))
    for name, metrics in results.items():
        # without any box there is no AP
        cells = [metrics.get(key) for key in part.columns.values()]
        cells = ['-' if cell is None else f'{cell:.{part.digits}f}' for cell in cells]
        print(f'{name:<10}' + ''.join(f'{cell:>11}' for cell in cells))


def run_part(part, options, work_dir, picture):
    """Evaluate, train, evaluate again and draw.

    Args:
        part (Part): The part.
        options (dict): Options of its config.
        work_dir (Path): Folder of its runs.
        picture (Path): File of the picture of its predictions.

    Returns:
        dict: Metrics before and after training, by the name of the row.
    """
    config = part.config

    def run(name):
        return dict(work_dir=str(work_dir / name), cfg_options=options)

    start = time.time()
    untrained = test(config, None, **run('untrained'))
    begin = time.time()
    train(config, **run('training'))
    seconds = time.time() - begin
    checkpoint = last_checkpoint(work_dir / 'training')
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
        # removed first, so that an interrupted run leaves no older results
        for file in (table, *pictures.values()):
            file.unlink(missing_ok=True)
        make_shapes(str(args.data), args.train, args.val, progress=show_progress)
    except (ValueError, OSError) as error:
        raise UserError(error) from error
    results = dict(untrained={}, trained={})
    for name in [name for name in PARTS if name in args.parts]:
        start = PARTS[name].start and last_checkpoint(work_dir / PARTS[name].start / 'training')
        if start:
            options[name] = {START: start, **options[name]}
        measured = run_part(PARTS[name], options[name], work_dir / name, pictures[name])
        for row, metrics in measured.items():
            # float, because json does not write numpy's numbers
            results[row].update({k: float(v) for k, v in metrics.items()})
        table.write_text(json.dumps(results, indent=1))
    print(f'table: {table}')


if __name__ == '__main__':
    main()
