"""Export a model: python tools/export.py CONFIG CHECKPOINT --images FOLDER [options]."""

import openmp  # noqa: F401

from sparx_mm.checkpoint_io import trust_checkpoints
from sparx_mm.errors import user_errors
from sparx_mm.export import FORMATS, PRECISIONS, SCANS, export
from sparx_mm.run import ArgumentParser, add_cfg_options


def parse_args():
    parser = ArgumentParser(description='Write a model for other runtimes, and hold it to torch')
    add = parser.add_argument
    add('config', help='config file')
    add('checkpoint', help='file or URL of the weights')
    add('--images', required=True, help='folder of real images, on which the file is compared')
    add('--format', dest='form', choices=list(FORMATS), default='onnx', help='default: onnx')
    add('--out', help="file to write or replace; default: the config's name")
    add('--part', choices=['model', 'backbone'], default='model', help='default: model')
    add('--labels', action='store_true', help='of a segmentor, the label map instead of logits')
    add(
        '--size', nargs=2, type=int, default=(512, 512), metavar=('H', 'W'), help='default: 512 512'
    )
    add('--precision', choices=PRECISIONS, default='float32', help='default: float32')
    add(
        '--scan',
        choices=SCANS,
        help='form of the scans in ONNX: steps over the positions of all lines at once (default), '
        'or without a loop (default for OpenVINO)',
    )
    add('--score-thr', type=float, help='of a detector, score of boxes compared; default: 0.3')
    add(
        '--evaluate',
        action='store_true',
        help="compute the config's metrics of the file and of torch on the test set",
    )
    add_cfg_options(parser)
    add('--trust-checkpoint', action='store_true', help='read a pickle that may run code')
    return vars(parser.parse_args())


@user_errors()
def main():
    args = parse_args()
    with trust_checkpoints(args.pop('trust_checkpoint')):
        report = export(**args)
    for line in report.lines():
        print(line)


if __name__ == '__main__':
    main()
