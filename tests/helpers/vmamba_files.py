"""Names and shapes of released VMamba files, read from tests/data/vmamba."""

import json
from pathlib import Path

import torch

DATA = Path(__file__).parents[1] / 'data' / 'vmamba'
FILES = sorted(path.stem.removeprefix('manifest_') for path in DATA.glob('manifest_*.json'))
# classifiers by arch
ARCHS = {
    'tiny': 'cls_t',
    'small': 'cls_s',
    'base': 'cls_b',
    'tiny-s2l5': 'cls_t_s2l5',
    'small-s1l20': 'cls_s_s1l20',
    'base-s1l20': 'cls_b_s1l20',
    'tiny-v0': 'cls_t_v0',
    'small-v0': 'cls_s_v0',
    'base-v0': 'cls_b_v0',
}


def shapes(file):
    """Shapes by released name."""
    rows = json.loads((DATA / f'manifest_{file}.json').read_text())
    return {name: tuple(shape) for name, shape, _ in rows}


def weights(file, stages=4):
    """Tensors of a released file, distinct in every element.

    Args:
        file (str): One of `FILES`.
        stages (int): How many of the four stages. Default: all of them.
    """
    start = 0
    tensors = {}
    for name, shape in shapes(file).items():
        if name.startswith('layers.') and int(name.split('.')[1]) >= stages:
            continue
        size = torch.Size(shape).numel()
        # float64 has room for all of them
        tensors[name] = torch.arange(start, start + size, dtype=torch.float64).view(shape)
        start += size
    return tensors


def empty(file):
    """Tensors of a released file that take no memory, all of them 0."""
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes(file).items()}


def old_names(names):
    """The names of the first v0 files, by those of today; v2 names stay.

    Args:
        names (Iterable[str]): Released names.
    """
    names = list(names)
    if any(name.startswith('patch_embed.5.') for name in names):
        return {name: name for name in names}
    swaps = {
        'patch_embed.0.': 'patch_embed.proj.',
        'patch_embed.2.': 'patch_embed.norm.',
        'classifier.': '',
    }
    old = {}
    for name in names:
        new = name.replace('.op.', '.self_attention.')
        if '.blocks.' in new:
            new = new.replace('.norm.', '.ln_1.')
        for start, instead in swaps.items():
            if new.startswith(start):
                new = instead + new[len(start) :]
        old[name] = new
    return old
