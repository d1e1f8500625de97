"""Which runs a comparison needs, and working on those that are missing."""

import time
from typing import NamedTuple

from sparx_mm.errors import UserError

from .comparisons import BASE, COMPARISONS, CONDITIONS, INITS, PRETRAINING, RATES
from .store import Run
from .training import Recipe, train

# of a result, at a scale of 1
ITERATIONS = 1000
# drawn images at least that a backbone is pretrained on
PRETRAINING_IMAGES = 900
# part of the iterations that a learning rate is tried for
CHOICE = 0.4
# those of the results are 0, 1, 2 ...
CHOICE_SEED = 1000
# parts of a run beside its training: measurements
OVERHEAD = 1.15


class Budget(NamedTuple):
    """What each network is given.

    Args:
        iterations (int): Iterations of a result.
        seeds (int): Number of results.
        parameters (int): Number that networks are fitted to.
        images (int): Training images of drawn tasks.
    """

    iterations: int
    seeds: int
    parameters: int
    images: int


class Job(NamedTuple):
    """Network under a condition on a task."""

    task: str
    network: str
    condition: str


def list_jobs(tasks, comparisons, networks=None, conditions=None):
    """List jobs, none twice.

    Args:
        tasks (Sequence[str]): Keys of ``TASKS``.
        comparisons (Sequence[str]): Keys of ``COMPARISONS``.
        networks (Collection[str], optional): Only these networks. Default: all.
        conditions (Collection[str], optional): Only these conditions. Default: all.

    Returns:
        list[Job]: The jobs, those of the base condition first.
    """
    jobs = {
        Job(task, network, condition)
        for task in tasks
        for comparison in map(COMPARISONS.get, comparisons)
        for network in comparison.networks
        for condition in comparison.conditions
        if (networks is None or network in networks)
        and (conditions is None or condition in conditions)
    }
    order = list(CONDITIONS)
    return sorted(jobs, key=lambda j: (order.index(j.condition), j.task, j.network))


def _run(job, budget, phase, rate, init, seed):
    iterations = budget.iterations
    if phase == 'choice':
        iterations = max(1, round(CHOICE * iterations))
    return Run(*job, phase, rate, init, seed, iterations, budget.parameters, budget.images)


def choices(job, budget):
    """List the runs that choose the learning rate and the initial weights of a job.

    Args:
        job (Job): Network under a condition on a task.
        budget (Budget): What each network is given.

    Returns:
        list[Run]: The runs, of the base condition unless the job's is tuned by itself.
    """
    condition = CONDITIONS[job.condition]
    if not condition.tuned:
        job = job._replace(condition=BASE)
    return [
        _run(job, budget, 'choice', rate, init, CHOICE_SEED)
        for rate in RATES
        for init in INITS
        if condition.init in (None, init)
    ]


def final(record):
    """Return the metric at the end of a run; that before it, if its loss became infinite.

    Args:
        record (dict): Result of a run.
    """
    return record['curve'][-1 if record['finite'] else 0][3]


def results(job, budget, records):
    """List the runs that give the results of a job, one for each seed.

    Args:
        job (Job): Network under a condition on a task.
        budget (Budget): What each network is given.
        records (dict[Run, dict]): Finished runs.

    Returns:
        list[Run]: None while learning rate and initial weights are not chosen.
    """
    runs = choices(job, budget)
    if not all(run in records for run in runs):
        return []
    best = max(runs, key=lambda run: final(records[run]))
    rate = best.rate * CONDITIONS[job.condition].rate
    return [_run(job, budget, 'result', rate, best.init, seed) for seed in range(budget.seeds)]


def pretraining(job, budget):
    """Return the job whose backbones a job starts from, and its budget; None if it has none.

    Args:
        job (Job): Network under a condition on a task.
        budget (Budget): What each network is given.

    Returns:
        tuple[Job, Budget] or None: The job.
    """
    if not CONDITIONS[job.condition].pretrained:
        return None
    more = max(budget.images, PRETRAINING_IMAGES)
    return Job(PRETRAINING, job.network, BASE), budget._replace(images=more)


def start_of(run, budget, records):
    """Return the run whose backbone a run starts from.

    Args:
        run (Run): What is to be trained.
        budget (Budget): What each network is given.
        records (dict[Run, dict]): Finished runs.

    Returns:
        Run or None: The run; None if it starts from nothing.

    Raises:
        KeyError: If that run is not finished.
    """
    first = pretraining(Job(*run[:3]), budget)
    if first is None:
        return None
    runs = {start.seed: start for start in results(*first, records) if start in records}
    return runs[run.seed if run.phase == 'result' else 0]


def _can_start(run, budget, records):
    try:
        start_of(run, budget, records)
    except KeyError:
        return False
    return True


def _expand(jobs, budget):
    """Return jobs with those that they start from, each with its budget, none twice."""
    pairs = [(job, budget) for job in jobs]
    firsts = [pretraining(*pair) for pair in pairs]
    return list(dict.fromkeys([pair for pair in firsts if pair] + pairs))


def list_missing(jobs, budget, records):
    """List the runs that can be started, choices first, then seed by seed.

    Args:
        jobs (list[Job]): From `list_jobs`.
        budget (Budget): What each network is given.
        records (dict[Run, dict]): Finished runs.

    Returns:
        list[Run]: The runs.
    """
    pairs = _expand(jobs, budget)
    first = dict.fromkeys(run for pair in pairs for run in choices(*pair))
    later = dict.fromkeys(run for pair in pairs for run in results(*pair, records))
    runs = [*first, *sorted(later, key=lambda run: run.seed)]
    return [run for run in runs if run not in records and _can_start(run, budget, records)]


def count_runs(jobs, budget):
    """Count all runs of some jobs, and their iterations by task and network.

    Args:
        jobs (list[Job]): From `list_jobs`.
        budget (Budget): What each network is given.

    Returns:
        tuple[int, dict[tuple[str, str], int]]: Runs, and iterations.
    """
    pairs = _expand(jobs, budget)
    runs = list({run for pair in pairs for run in choices(*pair)})
    # their rates are not known yet
    runs += [
        _run(*pair, 'result', None, None, seed) for pair in pairs for seed in range(budget.seeds)
    ]
    iterations = {}
    for run in runs:
        pair = run.task, run.network
        iterations[pair] = iterations.get(pair, 0) + run.iterations
    return len(runs), iterations


def _pace(records):
    """Return CPU seconds of an iteration by task and network, by their finished runs."""
    pace = {}
    for run, record in records.items():
        done, seconds = record['curve'][-1][:2]
        if done:
            pace[run.task, run.network] = seconds / done
    return pace


def remaining(jobs, budget, records):
    """Estimate the seconds that one process needs for what is missing.

    Args:
        jobs (list[Job]): From `list_jobs`.
        budget (Budget): What each network is given.
        records (dict[Run, dict]): Finished runs.

    Returns:
        tuple[int, int, float or None]: Finished runs, all runs, and seconds; None while
        no run is finished.
    """
    number, iterations = count_runs(jobs, budget)
    pairs = _expand(jobs, budget)
    known = {run for pair in pairs for run in (*choices(*pair), *results(*pair, records))}
    done = [run for run in known if run in records]
    for run in done:
        iterations[run.task, run.network] -= run.iterations
    pace = _pace(records)
    if not pace:
        return len(done), number, None
    mean = sum(pace.values()) / len(pace)
    seconds = sum(count * pace.get(pair, mean) for pair, count in iterations.items())
    return len(done), number, OVERHEAD * seconds


def _recipe_of(run, budget, store):
    start = start_of(run, budget, store.read())
    file = store.weights(start) if start else None
    if file and not file.exists():
        raise UserError(f'{file} of a finished run is gone: name another file with --results')
    return Recipe(run.rate, run.iterations, run.seed, run.init, CONDITIONS[run.condition], file)


def work(jobs, budget, store, fitted, load, about, say):
    """Work on the runs that are missing until none is, beside other processes or alone.

    Args:
        jobs (list[Job]): From `list_jobs`.
        budget (Budget): What each network is given.
        store (Store): Where results go.
        fitted (dict[str, Fitted]): Networks by name.
        load (Callable): Function from a task and a number of drawn images to `Data`.
        about (dict): What each result says of the machine.
        say (Callable): Function that is called with lines about progress.
    """
    while missing := list_missing(jobs, budget, store.read()):
        run = next(filter(store.claim, missing), None)
        if run is None:
            # of another process, and perhaps they are what others wait for
            time.sleep(2)
            continue
        done, number, seconds = remaining(jobs, budget, store.read())
        left = '' if seconds is None else f', about {seconds / 60:.0f} min of one core left'
        say(f'{done + 1} of {number}: {run}{left}')
        data = load(run.task, run.images)
        if run.phase == 'choice':
            data = data.hold_out(CHOICE_SEED)
        network = fitted[run.network]
        recipe = _recipe_of(run, budget, store)
        is_start = (run.task, run.condition, run.phase) == (PRETRAINING, BASE, 'result')
        keep = store.weights(run) if is_start else None
        result = train(network.config, data, recipe, keep)
        result.update(config=network.config, parameters=network.parameters, macs=network.macs)
        store.add(run, dict(result, **about))
        store.release(run)
        say(f'{run}: {final(result):.4f}')
