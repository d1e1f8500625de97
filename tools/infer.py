"""Predict images: python tools/infer.py CONFIG CHECKPOINT INPUT [INPUT ...] [options]."""

import openmp  # noqa: F401

from sparx_mm.checkpoint_io import trust_checkpoints
from sparx_mm.errors import user_errors
from sparx_mm.inference import infer
from sparx_mm.run import ArgumentParser, add_cfg_options, add_compile_option


def parse_args():
    parser = ArgumentParser(description='Predict images with a detector, segmentor or classifier')
    add = parser.add_argument
    add('config', help='config file; - for the test settings that the checkpoint carries')
    add('checkpoint', help='file or URL of the weights')
    add(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help="images, folders of images, patterns in quotes ('images/*.jpg'), .txt files of paths, "
        'videos, or the number of a webcam',
    )
    add('--out-dir', default='predictions', help='folder of the results; default: predictions')
    add('--score-thr', type=float, default=0.3, help='least score of an instance; default: 0.3')
    add('--batch-size', type=int, default=1, help='images or tiles at once; default: 1')
    add('--device', help='cpu, cuda or cuda:1; default: a GPU if there is one')
    add('--tta', action='store_true', help='test-time augmentation: flipped, or as the config says')
    add('--tile', type=int, metavar='SIZE', help='cut images into tiles of this side, in pixels')
    add('--overlap', type=float, default=0.2, help='part of a tile in its neighbour; default: 0.2')
    add('--no-draw', dest='draw', action='store_false', help='write no pictures')
    add_cfg_options(parser)
    add(
        '--trust-checkpoint',
        action='store_true',
        help='read the checkpoint as a plain pickle, which runs what is in it',
    )
    add_compile_option(parser)
    return vars(parser.parse_args())


@user_errors()
def main():
    args = parse_args()
    config = args.pop('config')
    with trust_checkpoints(args.pop('trust_checkpoint')):
        summary = infer(None if config == '-' else config, **args)
    print(summary)
    summary.require_all()


if __name__ == '__main__':
    main()
