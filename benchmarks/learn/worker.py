"""Working on the runs that are missing, and how long that will take."""

import time

from sparx_mm.errors import UserError

from .comparisons import BASE, CONDITIONS, PACER, PRETRAINING
from .plan import (
    CHOICE_SEED,
    cost_of,
    count_runs,
    final,
    iterations_of,
    list_known,
    list_missing,
    start_of,
)
from .training import Recipe, seconds_per_iteration, train

# parts of a run beside its training: measurements
OVERHEAD = 1.15


def _pace(records):
    """Return CPU seconds of an iteration by task and network, by their finished runs."""
    pace = {}
    for run, record in records.items():
        if run.phase == 'pace':
            continue
        done, seconds = record['curve'][-1][:2]
        if done:
            pace[run.task, run.network] = seconds / done
    return pace


def remaining(jobs, budget, records):
    """Estimate the seconds that one process needs for what is missing.

    Args:
        jobs, budget, records: As for `list_known`.

    Returns:
        tuple[int, int, float or None]: Finished runs, all runs, and seconds; None while
        no run is finished.
    """
    number, iterations = count_runs(jobs, budget, records)
    done = [run for run in list_known(jobs, budget, records) if run in records]
    for run in done:
        iterations.subtract(cost_of(run))
    pace = _pace(records)
    if not pace:
        return len(done), number, None
    mean = sum(pace.values()) / len(pace)
    seconds = sum(count * pace.get(pair, mean) for pair, count in iterations.items())
    return len(done), number, OVERHEAD * seconds


def _recipe_of(run, start, iterations, store):
    file = store.weights(start) if start else None
    if file and not file.exists():
        raise UserError(
            f'{file} of a finished run is gone: delete the line of that run in {store.path}, '
            'or name another file with --results'
        )
    return Recipe(run.rate, iterations, run.seed, run.init, CONDITIONS[run.condition], file)


def work(jobs, budget, store, fitted, load, about, say):
    """Work on the runs that are missing until none is, beside other processes or alone.

    Args:
        jobs (list[Job]): From `list_jobs`.
        budget (Budget): What each network is given.
        store (Store): Where results go.
        fitted (dict[str, Fitted]): Networks by name.
        load (Callable): Function from a task and a number of drawn images, 0 for the default,
            to `Data`.
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
        data, network = load(run.task, run.images), fitted[run.network]
        if run.phase == 'pace':
            both = [fitted[PACER].config, network.config]
            result = dict(seconds=seconds_per_iteration(both, data))
            said = ' and '.join(f'{seconds:.4f} s' for seconds in result['seconds'])
        else:
            result = _train(run, network, data, budget, store)
            said = f'{final(result):.4f}'
        result.update(config=network.config, parameters=network.parameters, macs=network.macs)
        store.add(run, dict(result, data=data.fingerprint(), **about))
        store.release(run)
        say(f'{run}: {said}')


def _train(run, network, data, budget, store):
    records, measurements = store.read(), None
    start = start_of(run, budget, records)
    recipe = _recipe_of(run, start, iterations_of(run, budget, records), store)
    if run.phase in ('choice', 'finalist'):
        # nothing but the end is read
        data, measurements = data.hold_out(CHOICE_SEED), 1
    is_start = (run.task, run.condition, run.phase) == (PRETRAINING, BASE, 'result')
    keep = store.weights(run) if is_start else None
    result = train(network.config, data, recipe, keep, measurements)
    return dict(result, start=[start.rate, start.init]) if start else result
