"""Which runs a comparison needs, and which of them are missing."""

from collections import Counter
from typing import NamedTuple

from .comparisons import BASE, COMPARISONS, CONDITIONS, INITS, PACER, PRETRAINING, RATES
from .store import Run
from .tasks import is_drawn

# of a result, at a scale of 1
ITERATIONS = 1000
# what a backbone is pretrained with: drawn images, and iterations over those of a result
PRETRAINING_IMAGES = 3600
PRETRAINING_LENGTH = 4
# part of the iterations that each learning rate is tried for, and the number of those, the best,
# that are then tried for all of them
CHOICE, FINALISTS = 0.4, 3
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
        Job(task, network, BASE if _sets_the_pace(network, condition) else condition)
        for task in tasks
        for comparison in map(COMPARISONS.get, comparisons)
        for network in comparison.networks
        for condition in comparison.conditions
        if (networks is None or network in networks)
        and (conditions is None or condition in conditions)
    }
    order = list(CONDITIONS)
    return sorted(jobs, key=lambda j: (order.index(j.condition), j.task, j.network))


def _sets_the_pace(network, condition):
    return CONDITIONS[condition].equal_time and network == PACER


def _run(job, budget, phase, rate, init, seed):
    iterations = budget.iterations
    if phase == 'choice':
        iterations = max(1, round(CHOICE * iterations))
    images = budget.images if is_drawn(job.task) else 0
    return Run(*job, phase, rate, init, seed, iterations, budget.parameters, images)


def choices(job, budget):
    """List the runs that choose the learning rate and the initial weights of a job.

    Args:
        job (Job): Network under a condition on a task.
        budget (Budget): What each network is given.

    Returns:
        list[Run]: The runs, of the base condition unless the job's is tuned by itself.
    """
    init = CONDITIONS[job.condition].init
    return [
        _run(_tuned(job), budget, 'choice', rate, one, CHOICE_SEED)
        for rate in RATES
        for one in INITS
        if init in (None, one)
    ]


def _tuned(job):
    return job if CONDITIONS[job.condition].tuned else job._replace(condition=BASE)


def finalists(job, budget, records):
    """List the runs that choose between the best of the `choices`, at the length of a result.

    Args:
        job (Job): Network under a condition on a task.
        budget (Budget): What each network is given.
        records (dict[Run, dict]): Finished runs.

    Returns:
        list[Run]: None while one of the choices is not finished.
    """
    runs = choices(job, budget)
    if not all(run in records for run in runs):
        return []
    best = sorted(runs, key=lambda run: -final(records[run]))[:FINALISTS]
    return [_run(_tuned(job), budget, 'finalist', run.rate, run.init, CHOICE_SEED) for run in best]


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
        list[Run]: None while learning rate and initial weights are not chosen. Those of the
        base, if it has the only choice that the condition changes.
    """
    best = _choose(job, budget, records)
    if best is None:
        return []
    if is_choice(job.condition):
        first = _choose(job._replace(condition=BASE), budget, records)
        if first is None:
            return []
        if first == best:
            job = job._replace(condition=BASE)
    rate = best.rate * CONDITIONS[job.condition].rate
    return [_run(job, budget, 'result', rate, best.init, seed) for seed in range(budget.seeds)]


def is_choice(condition):
    """Return True if all that a condition changes is chosen in the base.

    Args:
        condition (str): Key of ``CONDITIONS``.
    """
    own = CONDITIONS[condition]
    return own.init is not None and own._replace(init=None) == CONDITIONS[BASE]


def _choose(job, budget, records):
    """Return the run whose rate and weights are chosen, or None while that is not known."""
    runs = finalists(job, budget, records)
    if not all(run in records for run in runs):
        return None
    return max(runs, key=lambda run: final(records[run]), default=None)


def chosen_by(run, records):
    """Return the finished runs by which rate and initial weights of a result were chosen.

    Args:
        run (Run): A result.
        records (dict[Run, dict]): Finished runs.

    Returns:
        list[Run]: The runs, the best finalist first, or the best choice if finalists are not
        finished; none if they are not among the finished ones.
    """
    pair = Job(*run[:3]), Budget(run.iterations, 1, run.parameters, run.images)
    best = _choose(*pair, records)
    found = [one for one in choices(*pair) if one in records and one != best]
    found.sort(key=lambda one: -final(records[one]))
    return [best, *found] if best else found


def is_current(run, records):
    """Return False for a result whose rate or initial weights would not be chosen any more.

    So it is for one of initial weights that the base has chosen since.

    Args:
        run (Run): A result.
        records (dict[Run, dict]): Finished runs.
    """
    budget = Budget(run.iterations, 1, run.parameters, run.images)
    now = results(Job(*run[:3]), budget, records)
    if now and now[0].condition != run.condition:
        return False
    best = next(iter(chosen_by(run, records)), run)
    factor = 1.0 if best is run else CONDITIONS[run.condition].rate
    return (best.rate * factor, best.init) == (run.rate, run.init)


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


def without_stale(records):
    """Leave out runs that started from another backbone than they would start from now.

    Its rate or initial weights are what changes when its finalists are finished. Runs of the first
    round stay, because they only narrow the choice.

    Args:
        records (dict[Run, dict]): Finished runs.

    Returns:
        dict[Run, dict]: Those that count.
    """
    return {run: one for run, one in records.items() if not _is_stale(run, one, records)}


def _is_stale(run, record, records):
    first = pretraining(Job(*run[:3]), Budget(run.iterations, 1, run.parameters, run.images))
    if first is None or run.phase == 'choice':
        return False
    return any([now.rate, now.init] != record.get('start') for now in results(*first, records))


def pace_of(job, budget):
    """Return the run that measures what an iteration of a job takes beside one of ``PACER``.

    Args:
        job (Job): Network under a condition on a task.
        budget (Budget): What each network is given.

    Returns:
        Run or None: The run; None if the job has the iterations of the budget.
    """
    if not CONDITIONS[job.condition].equal_time:
        return None
    return _run(job, budget, 'pace', 0.0, 'own', CHOICE_SEED)


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
    pace = pace_of(Job(*run[:3]), budget)
    if pace in (None, run):
        return run.iterations
    of_pacer, own = records[pace]['seconds']
    return max(1, round(run.iterations * of_pacer / own))


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
    return list(dict.fromkeys([pair for pair in firsts if pair] + pairs))


def _with_bases(pairs):
    """Add the base to jobs of initial weights, which may be those that it chooses."""
    bases = [(_tuned(job), own) for job, own in pairs if is_choice(job.condition)]
    return pairs + bases


def _firsts(pairs):
    """List what has to be known before the results of jobs: choices, and paces."""
    runs = [run for pair in _with_bases(pairs) for run in choices(*pair)]
    return list(dict.fromkeys(runs + [run for run in (pace_of(*pair) for pair in pairs) if run]))


def list_known(jobs, budget, records):
    """List the runs of some jobs whose learning rates are known, none twice.

    Args:
        jobs (list[Job]): From `list_jobs`.
        budget (Budget): What each network is given.
        records (dict[Run, dict]): Finished runs.

    Returns:
        list[Run]: Choices and paces first, then finalists, then results seed by seed.
    """
    pairs = expand(jobs, budget)
    chosen = [run for pair in _with_bases(pairs) for run in finalists(*pair, records)]
    later = dict.fromkeys(run for pair in pairs for run in results(*pair, records))
    return [*_firsts(pairs), *dict.fromkeys(chosen), *sorted(later, key=lambda run: run.seed)]


def list_missing(jobs, budget, records):
    """List the runs that can be started, in the order of `list_known`.

    Args:
        jobs, budget, records: As for `list_known`.

    Returns:
        list[Run]: The runs.
    """
    runs = list_known(jobs, budget, records)
    return [run for run in runs if run not in records and _can_start(run, budget, records)]


def count_runs(jobs, budget, records=None):
    """Count all runs of some jobs, and their iterations by task and network.

    Args:
        jobs (list[Job]): From `list_jobs`.
        budget (Budget): What each network is given.
        records (dict[Run, dict], optional): Finished runs. Default: none.

    Returns:
        tuple[int, Counter[tuple[str, str]]]: Runs, and iterations.
    """
    pairs = expand(jobs, budget)
    owners = {}
    for job, own in pairs:
        # those of the base, if that is known; or rates are not known yet
        known = results(job, own, records or {})
        job = job._replace(condition=known[0].condition) if known else job
        owners[job, own] = None
    chosen = [run for pair in _with_bases(pairs) for run in _expected(*pair, records or {})]
    runs = [*_firsts(pairs), *dict.fromkeys(chosen)] + [
        _run(*pair, 'result', None, None, seed) for pair in owners for seed in range(budget.seeds)
    ]
    iterations = Counter()
    for run in runs:
        iterations.update(cost_of(run))
    return len(runs), iterations


def _expected(job, budget, records):
    """List the finalists of a job; as many without a rate, while they are not known."""
    count, init = min(FINALISTS, len(choices(job, budget))), CONDITIONS[job.condition].init
    return finalists(job, budget, records) or [
        _run(_tuned(job), budget, 'finalist', None, init, i) for i in range(count)
    ]


def cost_of(run):
    """Return what a run costs: iterations by task and network.

    Args:
        run (Run): What is to be trained.
    """
    if run.phase == 'pace':
        return {}
    network = PACER if CONDITIONS[run.condition].equal_time else run.network
    return {(run.task, network): run.iterations}
