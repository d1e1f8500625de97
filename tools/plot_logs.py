"""Plot the curves of trainings: python tools/plot_logs.py WORK_DIR..."""

import openmp  # noqa: F401

from sparx_mm.analysis import write_figure
from sparx_mm.errors import UserError, user_errors
from sparx_mm.reports import choose_keys, draw_curves, name_runs, read_run
from sparx_mm.run import ArgumentParser


def parse_args():
    parser = ArgumentParser(
        description='Plot loss and metrics of trainings from their JSON logs, several runs in one '
        'picture; a resumed run is one curve'
    )
    parser.add_argument('runs', nargs='+', help='work folders of trainings, or scalars.json files')
    parser.add_argument(
        '--keys',
        nargs='+',
        default=[],
        metavar='NAME',
        help='curves to plot, such as loss_bbox or bbox_mAP_50; default: the loss and the main '
        'metrics',
    )
    parser.add_argument(
        '--names', nargs='+', metavar='NAME', help='names of the runs; default: ends of the paths'
    )
    parser.add_argument(
        '--out', default='curves.png', help='file of the picture, .png or .svg; default: curves.png'
    )
    return parser.parse_args()


@user_errors()
def main():
    args = parse_args()
    names = args.names or name_runs(args.runs)
    if len(names) != len(args.runs):
        raise UserError(f'--names has {len(names)} names for {len(args.runs)} runs')
    if len(set(names)) < len(names):
        raise UserError(f'--names has a name twice: {" ".join(names)}')
    runs = [read_run(path, name) for path, name in zip(args.runs, names)]
    keys = choose_keys(runs, args.keys)
    write_figure(args.out, draw_curves(runs, keys))
    print(f'{args.out}: {", ".join(keys)} of {len(runs)} runs')


if __name__ == '__main__':
    main()
