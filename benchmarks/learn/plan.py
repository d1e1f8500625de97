"""Which runs a comparison needs, and working on those that are missing."""

import time
from typing import NamedTuple

from .comparisons import BASE, COMPARISONS, CONDITIONS, RATES
from .store import Run
from .training import Recipe, train

# of a result, at a scale of 1
ITERATIONS = 1000
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


def list_jobs(tasks, comparisons, networks=None):
    """List jobs, none twice.

    Args:
        tasks (Sequence[str]): Keys of ``TASKS``.
        comparisons (Sequence[str]): Keys of ``COMPARISONS``.
        networks (Collection[str], optional): Only these networks. Default: all.

    Returns:
        list[Job]: The jobs, those of the base condition first.
    """
    jobs = {
        Job(task, network, condition)
        for task in tasks
        for comparison in map(COMPARISONS.get, comparisons)
        for network in comparison.networks
        for condition in comparison.conditions
        if networks is None or network in networks
    }
    conditions = list(CONDITIONS)
    return sorted(jobs, key=lambda j: (conditions.index(j.condition), j.task, j.network))


def _run(job, budget, phase, rate, seed):
    iterations = budget.iterations
    if phase == 'choice':
        iterations = max(1, round(CHOICE * iterations))
    return Run(*job, phase, rate, seed, iterations, budget.parameters, budget.images)


def choices(job, budget):
    """List the runs that choose the learning rate of a job's network.

    Args:
        job (Job): Network on a task; whatever the condition, the rate is that of the base.
        budget (Budget): What each network is given.
    """
    base = job._replace(condition=BASE)
    return [_run(base, budget, 'choice', rate, CHOICE_SEED) for rate in RATES]


def final(record):
    """Return the metric at the end of a run; that before it, if its loss became infinite.

    Args:
        record (dict): Result of a run.
    """
    return record['curve'][-1 if record['finite'] else 0][3]


def chosen_rate(job, budget, records):
    """Return the learning rate of the best choice, None while one is missing.

    Args:
        job (Job): Network on a task.
        budget (Budget): What each network is given.
        records (dict[Run, dict]): Finished runs.
    """
    runs = choices(job, budget)
    if not all(run in records for run in runs):
        return None
    return max(runs, key=lambda run: final(records[run])).rate


def results(job, budget, records):
    """List the runs that give the results of a job, one for each seed.

    Args:
        job (Job): Network under a condition on a task.
        budget (Budget): What each network is given.
        records (dict[Run, dict]): Finished runs.

    Returns:
        list[Run]: None while the learning rate is not chosen.
    """
    rate = chosen_rate(job, budget, records)
    if rate is None:
        return []
    rate *= CONDITIONS[job.condition].rate
    return [_run(job, budget, 'result', rate, seed) for seed in range(budget.seeds)]


def list_missing(jobs, budget, records):
    """List the runs that can be started, choices first, then seed by seed.

    Args:
        jobs (list[Job]): From `list_jobs`.
        budget (Budget): What each network is given.
        records (dict[Run, dict]): Finished runs.

    Returns:
        list[Run]: The runs.
    """
    first = dict.fromkeys(run for job in jobs for run in choices(job, budget))
    later = [run for job in jobs for run in results(job, budget, records)]
    runs = [*first, *sorted(later, key=lambda run: run.seed)]
    return [run for run in runs if run not in records]


def count_runs(jobs, budget):
    """Count all runs of some jobs, and their iterations by task and network.

    Args:
        jobs (list[Job]): From `list_jobs`.
        budget (Budget): What each network is given.

    Returns:
        tuple[int, dict[tuple[str, str], int]]: Runs, and iterations.
    """
    number, iterations = 0, {}
    for job in jobs:
        # as the base stands first, it stands for the choices too
        pair, is_first = (job.task, job.network), (job.task, job.network) not in iterations
        new = [budget.iterations] * budget.seeds
        new += [run.iterations for run in choices(job, budget)] * is_first
        number += len(new)
        iterations[pair] = iterations.get(pair, 0) + sum(new)
    return number, iterations


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
    known = {run for job in jobs for run in (*choices(job, budget), *results(job, budget, records))}
    done = [run for run in known if run in records]
    for run in done:
        iterations[run.task, run.network] -= run.iterations
    pace = _pace(records)
    if not pace:
        return len(done), number, None
    mean = sum(pace.values()) / len(pace)
    seconds = sum(count * pace.get(pair, mean) for pair, count in iterations.items())
    return len(done), number, OVERHEAD * seconds


def recipe_of(run):
    """Return how a run is trained.

    Args:
        run (Run): What is to be trained.
    """
    condition = CONDITIONS[run.condition]
    return Recipe(
        run.rate,
        run.iterations,
        run.seed,
        condition.batch,
        condition.bfloat16,
        condition.with_cp,
    )


def work(jobs, budget, store, fitted, load, about, say):
    """Work on the runs that are missing until none is, beside other processes or alone.

    Args:
        jobs (list[Job]): From `list_jobs`.
        budget (Budget): What each network is given.
        store (Store): Where results go.
        fitted (dict[str, Fitted]): Networks by name.
        load (Callable): Function from a task to its `Data`.
        about (dict): What each result says of the machine.
        say (Callable): Function that is called with lines about progress.
    """
    while missing := list_missing(jobs, budget, store.read()):
        run = next(filter(store.claim, missing), None)
        if run is None:
            # of another process, and perhaps its learning rate is all that is missing
            time.sleep(2)
            continue
        done, number, seconds = remaining(jobs, budget, store.read())
        left = '' if seconds is None else f', about {seconds / 60:.0f} min of one core left'
        say(f'{done + 1} of {number}: {run}{left}')
        data = load(run.task)
        if run.phase == 'choice':
            data = data.hold_out(CHOICE_SEED)
        network = fitted[run.network]
        result = train(network.config, data, recipe_of(run))
        result.update(config=network.config, parameters=network.parameters, macs=network.macs)
        store.add(run, dict(result, **about))
        store.release(run)
        say(f'{run}: {final(result):.4f}')
