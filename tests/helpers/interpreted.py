"""The mark of cases that run Triton's kernels on tensors on the CPU."""

import pytest

from sparx_mm.kernels.dispatch import is_interpreted

needs_interpreter = pytest.mark.skipif(
    not is_interpreted(), reason="Triton's kernels do not run on the CPU here"
)
