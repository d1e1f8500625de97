"""Count multiply-adds and parameters: python tools/get_flops.py CONFIG."""

import argparse

import openmp  # noqa: F401

from sparx_mm.analysis import (
    CONVENTIONS,
    PAPERS,
    count_complexity,
    load_model,
    make_complexity_table,
    make_paper_table,
    make_sweep_table,
)
from sparx_mm.errors import UserError, user_errors
from sparx_mm.libraries import LIBRARIES
from sparx_mm.model_index import FOLDER
from sparx_mm.run import ArgumentParser, add_cfg_options


def parse_size(text):
    """Parse 224 or 800x1280 into height and width."""
    sides = text.split('x')
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(f'{text!r} is no size; write 224, or 800x1280')
    return int(sides[0]), int(sides[-1])


def parse_args():
    shapes = {name: library.count_shape for name, library in LIBRARIES.items()}
    usual = ', '.join(f'{h} {w} for {name}' for name, (h, w) in shapes.items())
    parser = ArgumentParser(
        description='Count the multiply-adds and parameters of a model by '
        'part. No weights are read, and nothing is computed unless the model depends on data'
    )
    parser.add_argument(
        'config', nargs='?', help='config file, or the name of a backbone: SparXMamba'
    )
    parser.add_argument(
        '--paper',
        nargs='*',
        metavar='NAME',
        help='instead: count the models of a paper and print its numbers beside ours; '
        f'one of {", ".join(PAPERS)} and perhaps its tables (sparx 2 3); default: all papers',
    )
    parser.add_argument(
        '--shape',
        nargs='+',
        type=int,
        metavar='N',
        help=f'height and width of the image, or one number for both; default: {usual}, else 224',
    )
    parser.add_argument(
        '--sweep',
        nargs='+',
        type=parse_size,
        metavar='SIZE',
        help='instead of the parts: the whole at these sizes, such as 224 384 800x1280',
    )
    parser.add_argument(
        '--convention',
        choices=sorted(CONVENTIONS),
        help="what is counted: paper, as in SparX's paper, with norms and without the "
        "attention of SparX's aggregators; paper-attention, with it; paper-interpolation, with "
        'interpolation too; plain, without norms and with all attention; layers, close to what thop counts; default: '
        'paper',
    )
    add_cfg_options(
        parser, help='override settings of the config, or arguments of the backbone (arch=small)'
    )
    args = parser.parse_args()
    if (args.config is None) == (args.paper is None):
        parser.error('give a config, the name of a backbone, or --paper')
    if args.paper is not None and (args.shape or args.sweep or args.convention or args.cfg_options):
        parser.error(
            '--paper has shapes, conventions and models of its own: '
            'leave --shape, --sweep, --convention and --cfg-options out'
        )
    if args.shape and args.sweep:
        parser.error('--sweep has shapes of its own: leave --shape out')
    if args.shape and len(args.shape) > 2:
        parser.error(f'--shape takes one or two numbers, got {len(args.shape)}')
    return args


def select_rows(names):
    """Select the rows of papers that --paper names: one list for each paper."""
    if not names:
        return list(PAPERS.values())
    paper, *tables = names
    if paper not in PAPERS:
        raise UserError(f'--paper takes one of {sorted(PAPERS)} before its tables, got {paper}')
    rows = PAPERS[paper]
    known = list(dict.fromkeys(row.table for row in rows))
    if not set(tables) <= set(known):
        raise UserError(f'--paper {paper} takes tables of {known}, got {tables}')
    return [[row for row in rows if not tables or row.table in tables]]


@user_errors()
def main():
    args = parse_args()
    if args.paper is not None:
        for rows in select_rows(args.paper):
            for line in make_paper_table(str(FOLDER / 'configs'), rows):
                print(line, flush=True)
        return
    model, shape = load_model(args.config, args.cfg_options)
    if args.shape:
        shape = (args.shape[0], args.shape[-1])
    convention = args.convention or 'paper'
    if args.sweep:
        counted = (count_complexity(model, size, convention) for size in args.sweep)
        for line in make_sweep_table(counted):
            print(line, flush=True)
        return
    print(make_complexity_table(count_complexity(model, shape, convention)))


if __name__ == '__main__':
    main()
