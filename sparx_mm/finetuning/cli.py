"""The options of tools/finetune.py, and what it prints last."""

from ..run import ArgumentParser, add_cfg_options
from .finetune import Outcome
from .models import TASKS


def finetune_parser() -> ArgumentParser:
    """Make the parser of tools/finetune.py."""
    parser = ArgumentParser(
        description='Fine-tune a model on your own data: convert and check them, write a config, '
        'train, evaluate and draw; docs/fine_tuning.md has formats and rules'
    )
    add = parser.add_argument
    add('--task', choices=TASKS, help='needed unless a run is resumed')
    add('--images', metavar='DIR', help='images; of a classifier, a folder for each class')
    add(
        '--annotations',
        metavar='PATH',
        help="detection: a file in COCO's format, a data.yaml of YOLO's, or a folder of VOC's XML, "
        "YOLO's text or LabelMe's JSON files, by default that of the images; segmentation: a "
        'folder of index PNGs',
    )
    add('--val-images', metavar='DIR', help='validation images; default: a fifth of the images')
    add('--val-annotations', metavar='PATH', help='their annotations')
    add(
        '--classes',
        nargs='+',
        metavar='NAME',
        help="class names in the order of their labels; default: those in the data. Of COCO's "
        'categories, those to train',
    )
    add(
        '--model',
        help='head and backbone, such as faster_rcnn_sparx_t or upernet_vmamba_s, or the backbone '
        'alone; default: sparx_t, with masks if every object has one. A wrong name lists all',
    )
    add(
        '--weights',
        metavar='FILE',
        help="file or URL of a whole model or a backbone, or none; default: the backbone's "
        'released ImageNet weights',
    )
    add('--epochs', type=int, help='default: by the number of images')
    add('--batch-size', type=int, help='default: by the device')
    add('--lr', type=float, help='learning rate; default: by the batch size')
    add('--size', type=int, help='shorter side of the images, or a crop, in pixels')
    add('--work-dir', default='work_dirs/finetune', help='default: work_dirs/finetune')
    add('--device', help='cpu, cuda or cuda:N; default: the GPU if there is one')
    add('--seed', type=int, default=0, help='of the split and the training; default: 0')
    add(
        '--resume',
        action='store_true',
        help='go on with the run in the work folder; options of data, model and training are not read: change its config',
    )
    add('--dry-run', action='store_true', help='convert, check, write the config, train nothing')
    add_cfg_options(parser, help='override settings of the config before it is written')
    return parser


def print_outcome(outcome: Outcome) -> None:
    """Print metrics and files, and how to go on by hand.

    Args:
        outcome (Outcome): What a run has made.
    """
    for name, value in outcome.metrics.items():
        print(f'{name}: {value:.4g}')
    if outcome.checkpoint:
        print(f'picture: {outcome.picture}\ncheckpoint: {outcome.checkpoint}')
    resume = ' --resume' if outcome.checkpoint else ''
    print(f'by hand: sparx-mm train {outcome.config}{resume}')
