"""Which runs a comparison needs, and which of them are missing."""

from typing import NamedTuple

from .comparisons import BASE, COMPARISONS, CONDITIONS, INITS, PACER, PRETRAINING, RATES
from .store import Run

# of a result, at a scale of 1
ITERATIONS = 1000
# what a backbone is pretrained with: drawn images, and iterations over those of a result
PRETRAINING_IMAGES = 3600
PRETRAINING_LENGTH = 4
# part of the iterations that a learning rate is tried for
CHOICE = 0.4
# those of the results are 0, 1, 2 ...
CHOICE_SEED = 1000


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
    if CONDITIONS[job.condition].equal_time and job.network == PACER:
        job = job._replace(condition=BASE)
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
    longer = budget._replace(
        iterations=PRETRAINING_LENGTH * budget.iterations, images=PRETRAINING_IMAGES
    )
    return Job(PRETRAINING, job.network, BASE), longer


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


def pacing(job, budget):
    """Return the jobs whose CPU time decides how many iterations a job has.

    Args:
        job (Job): Network under a condition on a task.
        budget (Budget): What each network is given.

    Returns:
        list[tuple[Job, Budget]]: Jobs and their budget, none if it has those of the budget.
    """
    if not CONDITIONS[job.condition].equal_time:
        return []
    return [(job._replace(network=name, condition=BASE), budget) for name in (PACER, job.network)]


def iterations_of(run, budget, records):
    """Return the number of iterations that a run trains.

    Args:
        run (Run): What is to be trained.
        budget (Budget): What each network is given.
        records (dict[Run, dict]): Finished runs.

    Returns:
        int: That of the run, or as many as take the CPU time of ``PACER``.

    Raises:
        KeyError: If a run that this depends on is not finished.
    """
    if not CONDITIONS[run.condition].equal_time:
        return run.iterations
    paces = []
    for pair in pacing(Job(*run[:3]), budget):
        runs = results(*pair, records)
        if not runs:
            raise KeyError(pair)
        curves = [records[one]['curve'] for one in runs]
        paces.append(sum(c[-1][1] for c in curves) / max(1, sum(c[-1][0] for c in curves)))
    return max(1, round(run.iterations * paces[0] / paces[1]))


def _can_start(run, budget, records):
    try:
        start_of(run, budget, records)
        iterations_of(run, budget, records)
    except KeyError:
        return False
    return True


def expand(jobs, budget):
    """Add the jobs that jobs start from.

    Args:
        jobs (list[Job]): From `list_jobs`.
        budget (Budget): What each network is given.

    Returns:
        list[tuple[Job, Budget]]: Each with its budget, none twice.
    """
    pairs = [(job, budget) for job in jobs]
    firsts = [pretraining(*pair) for pair in pairs]
    paces = [one for pair in pairs for one in pacing(*pair)]
    return list(dict.fromkeys([pair for pair in firsts if pair] + paces + pairs))


def list_known(jobs, budget, records):
    """List the runs of some jobs whose learning rates are known, none twice.

    Args:
        jobs (list[Job]): From `list_jobs`.
        budget (Budget): What each network is given.
        records (dict[Run, dict]): Finished runs.

    Returns:
        list[Run]: Choices first, then results seed by seed.
    """
    pairs = expand(jobs, budget)
    first = dict.fromkeys(run for pair in pairs for run in choices(*pair))
    later = dict.fromkeys(run for pair in pairs for run in results(*pair, records))
    return [*first, *sorted(later, key=lambda run: run.seed)]


def list_missing(jobs, budget, records):
    """List the runs that can be started, in the order of `list_known`.

    Args:
        jobs, budget, records: As for `list_known`.

    Returns:
        list[Run]: The runs.
    """
    runs = list_known(jobs, budget, records)
    return [run for run in runs if run not in records and _can_start(run, budget, records)]


def count_runs(jobs, budget):
    """Count all runs of some jobs, and their iterations by task and network.

    Args:
        jobs (list[Job]): From `list_jobs`.
        budget (Budget): What each network is given.

    Returns:
        tuple[int, dict[tuple[str, str], int]]: Runs, and iterations.
    """
    pairs = expand(jobs, budget)
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
