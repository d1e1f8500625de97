"""Train a model from a config: python tools/train.py CONFIG [options]."""
from sparx_mm.engine import parse_run_args, run_parser, train, user_errors


def parse_args():
    parser = run_parser('Train a model')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train in automatic mixed precision (needs a GPU)')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the batch size')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from a checkpoint; without a value from the last one '
        'in the work folder')
    return parse_run_args(parser)


@user_errors()
def main():
    train(**parse_args())


if __name__ == '__main__':
    main()
