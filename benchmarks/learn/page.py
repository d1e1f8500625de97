"""The page of what was measured."""

import os
import shlex
from typing import NamedTuple

from .comparisons import BASE, COMPARISONS, CONDITIONS, EQUAL_TIME, PACER, PRETRAINING, RATES
from .curves import draw
from .plan import ITERATIONS, PRETRAINING_IMAGES, chosen_by, is_choice, is_current
from .ranking import MIN_SEEDS
from .tables import (
    FALLEN,
    claim_table,
    condition_table,
    result_table,
    robustness_table,
    time_table,
)
from .tasks import TASKS, is_drawn

# task and images of the backbones that others start from
_START = PRETRAINING, PRETRAINING_IMAGES


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
        run and record, to which the learning rates are added that were ``tried``, and whether
        finalists were, ``final``. Results that would be of another rate or other weights now
        are left out.
    """
    groups = {}
    for run, record in sorted(records.items()):
        if run.phase == 'result' and is_current(run, records):
            factor = CONDITIONS[run.condition].rate
            by = chosen_by(run, records)
            record = dict(
                record,
                tried={factor * one.rate for one in by},
                final=any(one.phase == 'finalist' for one in by),
            )
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
        'images that was held out: each pair by a training of 40 % of the iterations, and the best '
        'three by whole ones, of one seed; "one round" is without the latter. Where fewer rates '
        'were tried, "(the edge)" is that of those. Metrics are accuracy, the mean IoU of a segmentation, and '
        "the average precision of a detection's boxes at an IoU of 0.5. A network is ahead of "
        "another one only if the worst of its seeds is better than the best of the other's: of "
        f'two equal networks with {MIN_SEEDS} seeds each, at these rates and on these test '
        'images, one is ahead by chance once in 10 times. A rank is 1 plus the number of '
        'networks that are ahead: those of one rank are not told apart.',
        _made_on(records.values()),
    ]
    for title, comparison in COMPARISONS.items():
        sections, curves = [], {}
        for key, jobs in groups.items():
            jobs = {
                (name, condition): jobs[name, condition]
                for name in comparison.networks
                for condition in comparison.conditions
                if (name, condition) in jobs
            }
            base, timed = (
                {name: runs for (name, condition), runs in jobs.items() if condition == wanted}
                for wanted in (BASE, EQUAL_TIME)
            )
            if set(comparison.conditions) - {BASE, EQUAL_TIME}:
                is_start = comparison.is_transfer and (key.task, key.images) == _START
                if not is_start:
                    # the base alone says nothing of others
                    others = {name for name, condition in jobs if condition != BASE}
                    jobs = {job: runs for job, runs in jobs.items() if job[0] in others}
                if jobs:
                    tabulate = robustness_table if comparison.is_stress else condition_table
                    sections += [_heading(key, title, jobs), tabulate(comparison, jobs)]
            elif len(base) > 1:
                curves[f'{_title(key)}: {TASKS[key.task].metric}'] = base
                sections += [_heading(key, title, jobs), result_table(base)]
                if timed and PACER in base:
                    sections.append(time_table({PACER: base[PACER], **timed}))
                if comparison.claims:
                    sections.append(claim_table(comparison.claims, base))
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
        elif any(map(is_choice, comparison.conditions)):
            blocks.append('What a network has in the base already has no row.')
        if pictures and curves:
            path = pictures / f'learning_{title}.png'
            draw(curves, path)
            link = os.path.relpath(path, output.parent if output else '.')
            blocks.append(f'![Curves of {title}: means of the seeds, and their range]({link})')
        blocks += sections
    return '\n\n'.join(blocks)


def _title(key):
    images = f', {key.images:,} images' if is_drawn(key.task) else ''
    return (
        f'{key.task}{images}, {key.parameters / 1e6:.2g} M parameters, {key.iterations} iterations'
    )


def _heading(key, comparison, jobs):
    """Write what a table has, and the command that makes it."""
    options = dict(comparisons=[comparison], tasks=[key.task])
    for option, index in (('networks', 0), ('conditions', 1)):
        there = {job[index] for job in jobs}
        every = getattr(COMPARISONS[comparison], option)
        if there != set(every):
            options[option] = [name for name in every if name in there]
    options['scale'] = [f'{key.iterations / ITERATIONS:g}']
    if is_drawn(key.task):
        options['images'] = [str(key.images)]
    options['parameters'] = [str(key.parameters)]
    if TASKS[key.task].option:
        options[TASKS[key.task].option] = ['PATH']
    words = [word for option, values in options.items() for word in (f'--{option}', *values)]
    about = TASKS[key.task].about
    return (
        f'### {_title(key)}\n\n{about[0].upper()}{about[1:]}. '
        f'`.venv/bin/python benchmarks/learning.py run {shlex.join(words)}`'
    )
