"""Evaluate a model: python tools/test.py CONFIG CHECKPOINT [options]."""

import openmp  # noqa: F401

from sparx_mm.checkpoint_io import trust_checkpoints
from sparx_mm.errors import user_errors
from sparx_mm.run import add_compile_option, destroy_distributed, parse_run_args, run_parser, test


def parse_args():
    parser = run_parser('Test (and evaluate) a model')
    parser.add_argument('checkpoint', help='file or URL of the weights')
    parser.add_argument(
        '--out',
        help='.pkl file for the predictions; for a config of mmseg, folder for '
        'label maps (index PNGs)',
    )
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument(
        '--show-dir',
        help='paint predictions into this folder. mmdet and mmrotate: a relative '
        'one is below the work folder and the time stamp of the run; mmseg: '
        'images are in its vis_data/vis_image. mmdet, mmrotate and mmpretrain: '
        'pictures are in the subfolders that their images are in',
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds that an image is shown; default: 2'
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation; ADE20K: six scales, each also flipped',
    )
    parser.add_argument(
        '--report',
        metavar='FILE.html',
        help='write a page with metrics, curves of the training, classes, confusions, and the best '
        'and worst images; it is one file',
    )
    add_compile_option(parser)
    return parse_run_args(parser)


@user_errors()
def main():
    args = parse_args()
    with trust_checkpoints(args.pop('trust_checkpoint')):
        test(**args)
    destroy_distributed()


if __name__ == '__main__':
    main()
