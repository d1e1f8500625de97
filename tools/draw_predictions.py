"""Draw predictions: python tools/draw_predictions.py CONFIG CHECKPOINT."""

import openmp  # noqa: F401

from sparx_mm.checkpoint_io import trust_checkpoints
from sparx_mm.demo import draw_predictions, write_picture
from sparx_mm.errors import UserError, user_errors
from sparx_mm.run import load_config, load_runner, parse_run_args, run_parser


def parse_args():
    parser = run_parser('Draw predictions of a detector or segmentor under the ground truth')
    parser.add_argument('checkpoint', help='file or URL of the weights')
    parser.add_argument(
        '--out', default='predictions.png', help='file of the picture; default: predictions.png'
    )
    parser.add_argument('--num', type=int, default=6, help='number of images; default: 6')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.5,
        help='score above which instances are drawn; default: 0.5',
    )
    return parse_run_args(parser)


@user_errors()
def main():
    args = parse_args()
    checkpoint, out = args.pop('checkpoint'), args.pop('out')
    num, score_thr = args.pop('num'), args.pop('score_thr')
    if num < 1:
        raise UserError(f'--num must be at least 1, got {num}')
    with trust_checkpoints(args.pop('trust_checkpoint')):
        runner = load_runner(load_config(**args), checkpoint)
    dataset = runner.test_dataloader.dataset
    picture = draw_predictions(runner.model, dataset, range(min(num, len(dataset))), score_thr)
    write_picture(out, picture)
    print(f'{out}: {min(num, len(dataset))} images')


if __name__ == '__main__':
    main()
