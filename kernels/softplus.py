"""The softplus that turns projections into step sizes."""

import torch
import torch.nn.functional as F

# log1p(w) / w on [0, 1], minimax for relative error, lowest power first: the
# compiled kernels make softplus from it, without a logarithm. It is exactly 1 at
# 0, because a long scan would drift otherwise; in float32 it errs by less than 2e-7
LOG1P = (
    1.0,
    -0.4999990165233612,
    0.3332996368408203,
    -0.24954132735729218,
    0.19675931334495544,
    -0.15305569767951965,
    0.10603617131710052,
    -0.056959159672260284,
    0.019851261749863625,
    -0.0032439809292554855,
)


def softplus(z: torch.Tensor) -> torch.Tensor:
    """Compute log(1 + e^z) in plain torch, linear above 30.

    Args:
        z (Tensor): Step sizes before softplus, of any shape.

    Returns:
        Tensor: Positive step sizes, like z.
    """
    # exp would overflow far above the threshold
    return F.softplus(z, threshold=30)
