"""A trial before training that leaves no trace in the run."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ..saving.random_state import get_random_state, set_random_state


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Put random generators and the model's mode back after a trial.

    Args:
        model (nn.Module): The model.
    """
    modes = {module: module.training for module in model.modules()}
    state = get_random_state()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        set_random_state(state)
