"""What the tests of printed tables share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def shapes_alone():
    """Build models without weights, because only their shapes are counted."""
    with torch.device('meta'):
        yield
