"""The page of what was measured."""

import os
from typing import NamedTuple

from .comparisons import BASE, COMPARISONS, RATES
from .curves import draw
from .plan import ITERATIONS
from .ranking import MIN_SEEDS
from .tables import FALLEN, claim_table, condition_table, result_tables, robustness_table
from .tasks import TASKS


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


def _made_on(records):
    """Write when, on what and with which versions runs were made."""
    dates = sorted({record['date'] for record in records})
    when = dates[0] if len(dates) == 1 else f'{dates[0]} to {dates[-1]}'
    revisions = {}
    for record in records:
        machine, _, revision = record['machine'].partition(', revision ')
        revisions.setdefault(machine, {})[revision] = True
    machines = [
        f'{machine}, revision {", ".join(some)}' if all(some) else machine
        for machine, some in revisions.items()
    ]
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
    drawn = option = ''
    if key.task.startswith('shapes'):
        drawn, option = f', {key.images} drawn images', f' --images {key.images}'
    return (
        f'### {key.task}, {key.iterations} iterations\n\n{about[0].upper()}{about[1:]}{drawn}; '
        f'networks of {key.parameters:,} parameters. `benchmarks/learning.py run --comparisons '
        f'{comparison} --tasks {key.task} --scale {key.iterations / ITERATIONS:g}{option}`'
    )
