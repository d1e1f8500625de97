"""Logs of trainings, as mmengine writes them."""

import json


def write_log(run, start, records):
    """Write the log of one start of a run."""
    folder = run / start / 'vis_data'
    folder.mkdir(parents=True)
    lines = ''.join(json.dumps(record) + '\n' for record in records)
    (folder / 'scalars.json').write_text(lines)
    return folder / 'scalars.json'


def step(i, **values):
    """Make a record of a training iteration, as mmengine's are."""
    return {'lr': 0.1, 'data_time': 0.0, 'time': 1.0, 'epoch': 1, 'iter': i, 'step': i, **values}


def evaluation(at, **values):
    """Make a record of an evaluation after an epoch, or at an iteration."""
    return {**values, 'data_time': 0.0, 'time': 1.0, 'step': at}
