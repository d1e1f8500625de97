"""The state of every random generator, as plain values and tensors."""

import random
from typing import Any

import numpy as np
import torch


def get_random_state() -> dict[str, Any]:
    """Read the generators of Python, NumPy and torch, on the CPU and all GPUs.

    Returns:
        dict: Numbers, tuples and tensors, which a checkpoint may hold.
    """
    algorithm, keys, *rest = np.random.get_state()
    return dict(
        python=random.getstate(),
        numpy=(algorithm, torch.from_numpy(keys.astype(np.int64)), *rest),
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    )


def set_random_state(state: dict[str, Any]) -> None:
    """Set the generators to what `get_random_state` returned.

    Args:
        state (dict): The state; of GPUs, as many as there are here and there.
    """
    version, keys, gauss = state['python']
    random.setstate((version, tuple(keys), gauss))
    algorithm, keys, *rest = state['numpy']
    np.random.set_state((algorithm, keys.cpu().numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state['torch'].cpu())
    for device, of_device in zip(range(torch.cuda.device_count()), state['cuda']):
        torch.cuda.set_rng_state(of_device.cpu(), device)
