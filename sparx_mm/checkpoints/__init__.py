"""Weights: names to and from the released files."""
from .keys import (from_released, rename_released, rename_to_released,
                   to_released)

__all__ = [
    'from_released', 'rename_released', 'rename_to_released', 'to_released'
]
