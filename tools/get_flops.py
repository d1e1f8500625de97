"""Count multiply-adds and parameters: python tools/get_flops.py CONFIG."""

from pathlib import Path

from sparx_mm.analysis import (
    CONVENTIONS,
    PAPER_ROWS,
    count_complexity,
    load_model,
    make_complexity_table,
    make_paper_table,
)
from sparx_mm.errors import user_errors
from sparx_mm.run import ArgumentParser, CfgOptionsAction
from sparx_mm.run.libraries import LIBRARIES

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'


def parse_args():
    shapes = {name: library.count_shape for name, library in LIBRARIES.items()}
    usual = ', '.join(f'{h} {w} for {name}' for name, (h, w) in shapes.items())
    parser = ArgumentParser(
        description='Count the multiply-adds and parameters of a model by '
        'part. Nothing is computed and no weights are read'
    )
    parser.add_argument(
        'config', nargs='?', help='config file, or the name of a backbone: SparXMamba'
    )
    parser.add_argument(
        '--paper',
        nargs='*',
        type=int,
        metavar='TABLE',
        help="instead: count the models of SparX's paper, in all tables or "
        'in those given, and print its numbers beside ours',
    )
    parser.add_argument(
        '--shape',
        nargs='+',
        type=int,
        metavar='N',
        help=f'height and width of the image, or one number for both; default: {usual}, else 224',
    )
    parser.add_argument(
        '--convention',
        choices=sorted(CONVENTIONS),
        help="what is counted: as in SparX's paper, with norms and without "
        "the attention of SparX's aggregators, or with it, or plain "
        'multiply-adds without norms and with all attention; default: paper',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config, or arguments of the backbone (arch=small)',
    )
    args = parser.parse_args()
    if (args.config is None) == (args.paper is None):
        parser.error('give a config, the name of a backbone, or --paper')
    if args.paper is not None and (args.shape or args.convention or args.cfg_options):
        parser.error(
            '--paper has shapes, conventions and models of its own: '
            'leave --shape, --convention and --cfg-options out'
        )
    tables = sorted({row.table for row in PAPER_ROWS})
    if args.paper and not set(args.paper) <= set(tables):
        parser.error(f'--paper takes tables of {tables}, got {args.paper}')
    if args.shape and len(args.shape) > 2:
        parser.error(f'--shape takes one or two numbers, got {len(args.shape)}')
    return args


@user_errors()
def main():
    args = parse_args()
    if args.paper is not None:
        rows = [row for row in PAPER_ROWS if not args.paper or row.table in args.paper]
        for line in make_paper_table(str(CONFIGS), rows):
            print(line, flush=True)
        return
    model, shape = load_model(args.config, args.cfg_options)
    if args.shape:
        shape = (args.shape[0], args.shape[-1])
    complexity = count_complexity(model, shape, args.convention or 'paper')
    print(make_complexity_table(complexity))


if __name__ == '__main__':
    main()
