"""Exemption of functions from autocast, where 16 bits are too few."""

import functools
from collections.abc import Callable
from typing import Any

import torch


def without_autocast(function: Callable) -> Callable:
    """Make a function compute in the dtypes that it says.

    Autocast also reaches into a custom operator: there it would round the
    product that step sizes are made of to 16 bits.

    Args:
        function (Callable): A function whose first argument is a tensor.

    Returns:
        Callable: The same function, with autocast off on that tensor's device.
    """

    @functools.wraps(function)
    def run(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        device = tensor.device.type
        # the meta device has no autocast, and an exported graph would keep even a
        # switch that changes nothing
        if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
            return function(tensor, *args, **kwargs)
        with torch.autocast(device, enabled=False):
            return function(tensor, *args, **kwargs)

    return run
