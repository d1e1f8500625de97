"""Tables and pictures of finished runs."""

import os
from typing import NamedTuple

import numpy as np
from report import number, table

from .comparisons import BASE, COMPARISONS, RATES
from .plan import ITERATIONS, final
from .ranking import MIN_SEEDS, rank, spread, verdict
from .tasks import TASKS

# of a condition, by what became of the claim that it is better than the base
OUTCOMES = {'confirmed': 'better', 'refuted': 'worse', 'not decided': 'not told apart'}
# part of what a network learns in the base condition; with less it fell over
FALLEN = 0.5


class Budgeted(NamedTuple):
    """What runs have in common that are in one table."""

    task: str
    iterations: int
    parameters: int
    images: int


def group(records):
    """Sort results by what they have in common.

    Args:
        records (dict[Run, dict]): Finished runs.

    Returns:
        dict[Budgeted, dict[tuple[str, str], list]]: By network and condition, the pairs of
        run and record.
    """
    groups = {}
    for run, record in sorted(records.items()):
        if run.phase == 'result':
            key = Budgeted(run.task, run.iterations, run.parameters, run.images)
            jobs = groups.setdefault(key, {})
            jobs.setdefault((run.network, run.condition), []).append((run, record))
    return groups


def at_seconds(record, seconds):
    """Return the metric of a run when it had trained for some CPU time.

    Args:
        record (dict): Result of the run.
        seconds (float): CPU time of its training.
    """
    if not record['finite']:
        return final(record)
    _, times, _, metrics = zip(*record['curve'])
    return float(np.interp(seconds, times, metrics))


def _cells(one):
    return [f'{one.mean:.3f}', f'{one.low:.3f} to {one.high:.3f}' if one.count > 1 else '']


def _place(value):
    return str(value) if value else 'too few seeds'


def _rate_cell(runs):
    # of the base condition, and so one of the grid
    rate = runs[0][0].rate
    return f'{rate:g}' + (' (the edge)' if rate in (RATES[0], RATES[-1]) else '')


def _total_seconds(runs):
    """Return the mean CPU time of the runs that did not diverge, infinite without any."""
    times = [record['curve'][-1][1] for _, record in runs if record['finite']]
    return np.mean(times) if times else np.inf


def _seconds_cell(seconds):
    return number(seconds) if np.isfinite(seconds) else '-'


def result_tables(runs):
    """Write the results at equal iterations, and at equal CPU time.

    Args:
        runs (dict[str, list[tuple[Run, dict]]]): Results by network.

    Returns:
        str: Markdown.
    """
    ends = {name: spread([final(r) for _, r in given]) for name, given in runs.items()}
    seconds = min(map(_total_seconds, runs.values()))
    early = {
        name: spread([at_seconds(r, seconds) for _, r in given]) for name, given in runs.items()
    }
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
    blocks = [table([*columns, 'mean', 'seeds', 'diverged', 'rank'], rows)]
    rows = [
        [name, *_cells(early[name]), _place(rank(early)[name])]
        for name in sorted(runs, key=lambda name: -early[name].mean)
    ]
    blocks.append(
        f'After {_seconds_cell(seconds)} CPU seconds of training, when the fastest network has '
        'finished and the learning rates of the others have not yet come down:'
    )
    blocks.append(table(['network', 'mean', 'seeds', 'rank'], rows))
    return '\n\n'.join(blocks)


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
    """Write what networks learn under conditions, and which are better than the base.

    Args:
        comparison (Comparison): Networks and conditions.
        jobs (dict[tuple[str, str], list]): Results by network and condition.

    Returns:
        str: Markdown.
    """
    rows = []
    for name in comparison.networks:
        base = None
        for condition in comparison.conditions:
            runs = jobs.get((name, condition))
            if not runs:
                continue
            one = spread([final(record) for _, record in runs])
            base = base or one
            outcome = '' if condition == BASE else OUTCOMES[verdict(one, base)]
            first = runs[0][0]
            rows.append([name, condition, f'{first.rate:g}', first.init, *_cells(one), outcome])
    return table(
        ['network', 'condition', 'rate', 'init', 'mean', 'seeds', 'against the base'], rows
    )


def draw(curves, path):
    """Draw the curves of a comparison over iterations and CPU time, a row for each task.

    Args:
        curves (dict[str, dict[str, list[tuple[Run, dict]]]]): Results by task and network.
        path (Path): File to write, of a format that its ending names.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4 * len(curves) + 1), layout='constrained')
    panels = figure.subplots(len(curves), 2, squeeze=False, sharey='row')
    names = list(dict.fromkeys(name for runs in curves.values() for name in runs))
    for line, (task, runs) in zip(panels, curves.items()):
        for axes, column, label in zip(line, (0, 1), ('iterations', 'CPU seconds of one thread')):
            for i, name in enumerate(names):
                style = dict(color=f'C{i % 10}', linestyle=('-', '--')[i // 10 % 2])
                whole = [r['curve'] for _, r in runs.get(name, ()) if r['finite']]
                if not whole:
                    axes.plot([], [], label=name, **style)
                    continue
                # (seeds, measurements, columns)
                points = np.array([[[p[0], p[1], p[3]] for p in curve] for curve in whole])
                x, y = points[..., column].mean(0), points[..., 2]
                axes.plot(x, y.mean(0), label=name, **style)
                axes.fill_between(x, y.min(0), y.max(0), color=style['color'], alpha=0.12, lw=0)
            axes.set(title=task, xlabel=label)
            axes.grid(alpha=0.3)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=5, fontsize='small')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, facecolor='white')


def _made_on(records):
    """Write when, on what and with which versions runs were made."""
    dates = sorted({record['date'] for record in records})
    machines = sorted({record['machine'] for record in records})
    when = dates[0] if len(dates) == 1 else f'{dates[0]} to {dates[-1]}'
    return f'{when}; {"; ".join(machines)}.'


def write_page(records, output=None, pictures=None):
    """Write all that has been measured.

    Args:
        records (dict[Run, dict]): Finished runs.
        output (Path, optional): File that the page goes to, which pictures are named
            from. Default: the current folder.
        pictures (Path, optional): Folder of pictures. Default: none is drawn.

    Returns:
        str: Markdown.
    """
    groups = group(records)
    blocks = [
        '# What learns faster',
        'Small networks of about the same number of parameters learn the same tasks with the '
        'same head, batches, schedule and budget. Each has the learning rate, of '
        f"{', '.join(f'{rate:g}' for rate in RATES)}, and the initial weights, its family's or "
        'those of variance 1 over the number of inputs, that were best on a part of the training '
        'images that was held out. Metrics are accuracy, the mean IoU of a segmentation, and the '
        "average precision of a detection's boxes at an IoU of 0.5. A network is ahead of another "
        'one only if the worst of its seeds is better than the best of the '
        f"other's: of two equal networks with {MIN_SEEDS} seeds each, one is ahead by "
        'chance once in 10 times. A rank is 1 plus the number of networks that are ahead: those '
        'of one rank are not told apart.',
        _made_on(records.values()),
    ]
    for title, comparison in COMPARISONS.items():
        sections, curves = [], {}
        for key, jobs in groups.items():
            runs = {name: jobs[name, BASE] for name in comparison.networks if (name, BASE) in jobs}
            others = [c for n, c in jobs if n in runs and c in comparison.conditions[1:]]
            if len(comparison.conditions) > 1:
                if others:
                    tabulate = robustness_table if comparison.is_stress else condition_table
                    sections += [_heading(key, title), tabulate(comparison, jobs)]
                continue
            if len(runs) < 2:
                continue
            curves[f'{key.task}, {key.iterations} iterations: {TASKS[key.task].metric}'] = runs
            sections += [_heading(key, title), result_tables(runs)]
            if comparison.claims:
                sections.append(claim_table(comparison.claims, runs))
        if not sections:
            continue
        blocks.append(f'## {title.capitalize()}')
        if comparison.is_stress:
            blocks.append(
                'What a network learns, as a part of what it learns in float32 with a batch of '
                '32, of a detection 16. It fell over if a seed diverged or this is less than '
                f'{FALLEN:.0%}; a smaller batch, for a detection again half as large as its name '
                'says, sees fewer images in as many iterations, at the rate times the root of its '
                'part of the whole batch.'
            )
        if pictures and curves:
            path = pictures / f'learning_{title}.png'
            draw(curves, path)
            link = os.path.relpath(path, output.parent if output else '.')
            blocks.append(f'![Curves of {title}: means of the seeds, and their range]({link})')
        blocks += sections
    return '\n\n'.join(blocks)


def _heading(key, comparison):
    about = TASKS[key.task].about
    drawn = f', {key.images} drawn images' if key.task.startswith('shapes') else ''
    return (
        f'### {key.task}, {key.iterations} iterations\n\n{about[0].upper()}{about[1:]}{drawn}; '
        f'networks of {key.parameters:,} parameters. `benchmarks/learning.py run --comparisons '
        f'{comparison} --tasks {key.task} --scale {key.iterations / ITERATIONS:g}`'
    )
