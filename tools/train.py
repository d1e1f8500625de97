"""Train a model from a config: python tools/train.py CONFIG [options]."""

import openmp  # noqa: F401

from sparx_mm.checkpoint_io import trust_checkpoints
from sparx_mm.engine import AMP_DTYPES
from sparx_mm.errors import user_errors
from sparx_mm.run import (
    TRACKERS,
    add_compile_option,
    destroy_distributed,
    parse_run_args,
    run_parser,
    train,
)


def parse_args():
    parser = run_parser('Train a model')
    parser.add_argument('--amp', action='store_true', help='train in automatic mixed precision')
    parser.add_argument(
        '--amp-dtype',
        choices=AMP_DTYPES,
        help='its 16-bit type, which also switches it on; float16 needs a '
        'GPU; default: float16 with a GPU, bfloat16 without one',
    )
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size'
    )
    parser.add_argument(
        '--show-optim',
        action='store_true',
        help='log which parameters get which learning rate and weight decay',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from a checkpoint; without a value from the last one in the work folder',
    )
    parser.add_argument(
        '--track',
        nargs='+',
        action='extend',
        choices=TRACKERS,
        default=[],
        help='write the curves to these trackers too (the extra `track` has their packages)',
    )
    parser.add_argument(
        '--progress',
        action='store_true',
        help="show one line with loss, learning rate and time left instead of mmengine's lines, "
        'which the log file keeps; nothing changes where the output is no terminal',
    )
    add_compile_option(parser)
    return parse_run_args(parser)


@user_errors()
def main():
    args = parse_args()
    with trust_checkpoints(args.pop('trust_checkpoint')):
        train(**args)
    destroy_distributed()


if __name__ == '__main__':
    main()
