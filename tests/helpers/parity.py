"""The reference's weights, inputs and outputs, read from tests/data/parity."""

import json
from functools import cache
from pathlib import Path

import deterministic
import numpy as np
import torch

from sparx_mm import SparXMamba

DATA = Path(__file__).parents[1] / 'data' / 'parity'
ARCHS = {'t': 'tiny', 's': 'small', 'b': 'base'}
ATTN_SCALES = {'det': 'learnable', 'seg': 'length', 'cls': 'length'}


@cache
def manifest(flavour, variant):
    """Rows (key, shape, is buffer) of a released file."""
    return json.loads((DATA / f'manifest_{flavour}_{variant}.json').read_text())


def released_state(flavour, variant):
    """A state dict as a released file holds it, with deterministic weights."""
    state = deterministic.make_state(manifest(flavour, variant))
    return {key: torch.as_tensor(value) for key, value in state.items()}


def reference_model(flavour, variant, **kwargs):
    """A backbone with the reference's weights, in eval mode."""
    model = SparXMamba(ARCHS[variant], attn_scale=ATTN_SCALES[flavour], **kwargs)
    model.load_state_dict(released_state(flavour, variant), strict=True)
    return model.eval()


def image(variant, height, width):
    """The (1, 3, H, W) image of a golden file."""
    return torch.from_numpy(deterministic.make_input(variant, height, width))


def golden(name):
    """Arrays of a golden file, by name."""
    with np.load(DATA / f'golden_{name}.npz') as file:
        return {key: torch.from_numpy(file[key]) for key in file}
