"""Tables of finished runs."""

import numpy as np
from report import number, table

from .comparisons import BASE, PACER
from .plan import final
from .ranking import rank, spread, verdict

# of a condition, by what became of the claim that it is better than the base
OUTCOMES = {'confirmed': 'better', 'refuted': 'worse', 'not decided': 'not told apart'}
# part of what a network learns in the base condition; with less it fell over
FALLEN = 0.5


def _cells(one):
    return [f'{one.mean:.3f}', f'{one.low:.3f} to {one.high:.3f}' if one.count > 1 else '']


def _place(value):
    return str(value) if value else 'too few seeds'


def _rate_cell(runs):
    (run, record), *_ = runs
    tried = record['tried']
    is_edge = run.rate in (min(tried, default=None), max(tried, default=None))
    notes = ' (the edge)' if is_edge else ''
    return f'{run.rate:g}{notes}' + ('' if record['final'] else ', one round')


def _total_seconds(runs):
    """Return the mean CPU time of the runs that did not diverge, infinite without any."""
    times = [record['curve'][-1][1] for _, record in runs if record['finite']]
    return np.mean(times) if times else np.inf


def _seconds_cell(seconds):
    return number(seconds) if np.isfinite(seconds) else '-'


def result_table(runs):
    """Write the results at equal iterations.

    Args:
        runs (dict[str, list[tuple[Run, dict]]]): Results by network.

    Returns:
        str: Markdown.
    """
    ends = {name: spread([final(r) for _, r in given]) for name, given in runs.items()}
    rows = []
    for name in sorted(runs, key=lambda name: -ends[name].mean):
        first = runs[name][0][1]
        lost = sum(not record['finite'] for _, record in runs[name])
        rows.append(
            [
                name,
                f'{first["parameters"] / 1e3:.0f}',
                number(first['macs'] / 1e6),
                _rate_cell(runs[name]),
                runs[name][0][0].init,
                _seconds_cell(_total_seconds(runs[name])),
                *_cells(ends[name]),
                f'{lost}' if lost else '',
                _place(rank(ends)[name]),
            ]
        )
    columns = ['network', '1,000 parameters', 'M multiply-adds', 'rate', 'init', 'CPU s']
    return table([*columns, 'mean', 'seeds', 'diverged', 'rank'], rows)


def time_table(runs):
    """Write the results at equal CPU time.

    Args:
        runs (dict[str, list[tuple[Run, dict]]]): Results by network.

    Returns:
        str: Markdown.
    """
    ends = {name: spread([final(r) for _, r in given]) for name, given in runs.items()}
    rows = [
        [
            name,
            str(runs[name][0][1]['curve'][-1][0]),
            _seconds_cell(_total_seconds(runs[name])),
            *_cells(ends[name]),
            _place(rank(ends)[name]),
        ]
        for name in sorted(runs, key=lambda name: -ends[name].mean)
    ]
    return f'As many iterations as take the CPU time of {PACER}, at the rates above:\n\n' + table(
        ['network', 'iterations', 'CPU s', 'mean', 'seeds', 'rank'], rows
    )


def claim_table(claims, runs):
    """Write what became of some claims.

    Args:
        claims (Sequence[Claim]): The claims.
        runs (dict[str, list[tuple[Run, dict]]]): Results by network.

    Returns:
        str: Markdown.
    """
    ends = {name: spread([final(r) for _, r in given]) for name, given in runs.items()}
    rows = [
        [c.text, c.better, c.worse, verdict(ends.get(c.better), ends.get(c.worse))] for c in claims
    ]
    return table(['claim', 'better', 'worse', 'verdict'], rows)


def robustness_table(comparison, jobs):
    """Write which part of what networks learn in the base condition they learn in others.

    Args:
        comparison (Comparison): Networks and conditions.
        jobs (dict[tuple[str, str], list]): Results by network and condition.

    Returns:
        str: Markdown, with what fell over in bold.
    """
    rows = []
    for name in comparison.networks:
        base = [record for _, record in jobs.get((name, BASE), ())]
        if not base:
            continue
        untrained = np.mean([record['curve'][0][3] for record in base])
        gain = np.mean([final(record) for record in base]) - untrained
        cells, fallen = [], 0
        for condition in comparison.conditions:
            records = [record for _, record in jobs.get((name, condition), ())]
            if not records:
                cells.append('')
                continue
            learned = np.mean([final(record) for record in records]) - untrained
            part = learned / gain if gain > 0 else np.nan
            lost = sum(not record['finite'] for record in records)
            text = f'{part:.0%}' + (f', {lost} of {len(records)} diverged' if lost else '')
            is_fallen = bool(lost) or not part >= FALLEN
            cells.append(f'**{text}**' if is_fallen else text)
            fallen += is_fallen
        rows.append([name, *cells, str(fallen)])
    rows.sort(key=lambda row: int(row[-1]))
    return table(['network', *comparison.conditions, 'fell over'], rows)


def condition_table(comparison, jobs):
    """Write what networks learn under conditions, and which are better than others.

    Args:
        comparison (Comparison): Networks and conditions.
        jobs (dict[tuple[str, str], list]): Results by network and condition.

    Returns:
        str: Markdown.
    """
    rows = []
    for name in comparison.networks:
        ends = {
            condition: spread([final(record) for _, record in jobs[name, condition]])
            for condition in comparison.conditions
            if (name, condition) in jobs
        }
        for condition, one in ends.items():
            outcomes = [
                OUTCOMES[verdict(one, ends[other])] if condition != other and other in ends else ''
                for other in comparison.references
            ]
            runs = jobs[name, condition]
            start = [name, condition, _rate_cell(runs), runs[0][0].init]
            rows.append([*start, *_cells(one), *outcomes])
    against = [
        'against ' + ('the base' if name == BASE else name) for name in comparison.references
    ]
    return table(['network', 'condition', 'rate', 'init', 'mean', 'seeds', *against], rows)
