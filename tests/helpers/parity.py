"""The references' weights, inputs and outputs, read from tests/data/<family>."""

import json
from functools import cache
from pathlib import Path

import deterministic
import deterministic_mamba
import numpy as np
import pytest
import torch
from archs import LEARNABLE

from sparx_mm import VSSD, GroupMamba, PlainMamba, SparXMamba, Vim, VMamba

DATA = Path(__file__).parents[1] / 'data'
FAMILIES = {
    'sparx': SparXMamba,
    'vmamba': VMamba,
    'vssd': VSSD,
    'groupmamba': GroupMamba,
    'plainmamba': PlainMamba,
    'vim': Vim,
}
# rules for the weights of the others
RULES = dict.fromkeys(('plainmamba', 'vim'), deterministic_mamba)
# names of the references' variants
ARCHS = {
    't': 'tiny',
    's': 'small',
    'b': 'base',
    't_s2l5': 'tiny-s2l5',
    's_s1l20': 'small-s1l20',
    'b_s1l20': 'base-s1l20',
    't_v0': 'tiny-v0',
    's_v0': 'small-v0',
    'b_v0': 'base-v0',
    'm': 'micro',
    'iccv_t': 'tiny-iccv',
    'iccv_s': 'small-iccv',
    'l1': 'l1',
    'l2': 'l2',
    'l3': 'l3',
}
# released files of SparX: each task and each size in `make test`, all pairs of them in
# `make test-faults`
LAYOUTS = [
    pytest.param(
        flavour,
        variant,
        marks=[] if variant == 't' or flavour + variant in ('clss', 'detb') else pytest.mark.faults,
    )
    for flavour in ('cls', 'det', 'seg')
    for variant in 'tsb'
]
# networks of full size: the others have more of the same layers
SIZES = ['t', *(pytest.param(variant, marks=pytest.mark.faults) for variant in 'sb')]


def arch_of(flavour, variant, family='sparx') -> dict:
    """Return the arch of a released file: of a classifier, detector or segmentor."""
    arch = dict(base=ARCHS[variant])
    if flavour == 'cls' and family not in RULES:
        # the head has the norm
        norms = (*[dict()] * 3, None) if family == 'groupmamba' else None
        arch.update(out_norm=norms)
    if (family, flavour) == ('sparx', 'det'):
        arch.update(LEARNABLE)
    return arch


@cache
def manifest(flavour, variant, family='sparx'):
    """Read the rows (key, shape, is buffer) of a released file."""
    return json.loads((DATA / family / f'manifest_{flavour}_{variant}.json').read_text())


def released_state(flavour, variant, family='sparx', faint=False):
    """Make a state dict as a released file holds it, with deterministic weights."""
    rules = RULES.get(family, deterministic)
    state = rules.make_state(manifest(flavour, variant, family), faint)
    return {key: torch.as_tensor(value) for key, value in state.items()}


def reference_model(flavour, variant, family='sparx', faint=False, **kwargs):
    """Make a backbone with the reference's weights, in eval mode."""
    # weights that are replaced need not be drawn
    with torch.device('meta'):
        model = FAMILIES[family](arch_of(flavour, variant, family), **kwargs)
    state = released_state(flavour, variant, family, faint)
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


def image(variant, height, width, family='sparx'):
    """Make the (1, 3, H, W) image of a golden file."""
    if family in ('vssd', 'groupmamba'):
        # names of the other two families' inputs are without them
        variant = f'{family}:{variant}'
    if family in RULES:
        variant = f'{family}_{variant}'
    return torch.from_numpy(deterministic.make_input(variant, height, width))


def golden(name, family='sparx'):
    """Read the arrays of a golden file, by name."""
    with np.load(DATA / family / f'golden_{name}.npz') as file:
        return {key: torch.from_numpy(file[key]) for key in file}
