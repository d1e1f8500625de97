"""Gradients in float64 beside finite differences."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

FORMATS = dict(contiguous=torch.contiguous_format, channels_last=torch.channels_last)
# so small that hardly any ReLU has its kink within a step
STEP = 1e-8


def in_token_order(maps: torch.Tensor) -> torch.Tensor:
    """Give (B, C, H, W) maps the strides of permuted tokens, (B, H*W, C)."""
    # (B, C, H, W) -> (B, H*W, C) -> (B, C, H, W)
    tokens = maps.flatten(2).transpose(1, 2).contiguous()
    return tokens.transpose(1, 2).view(maps.shape)


def gradient_error(function, module: nn.Module, tokens: bool) -> float:
    """Compare the gradients of a module's parameters with a finite difference.

    A wrong gradient of any parameter shows, because the direction is random.

    Args:
        function (Callable): Returns maps, (B, C, H, W), or a tuple of them.
        module (nn.Module): What it calls, in float64.
        tokens (bool): Give the maps gradients in the order of tokens.

    Returns:
        float: Their difference in the direction, relative to the derivative.
    """
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            # the statistics are the same in each pass
            norm.momentum = 0.0
    generator = torch.Generator().manual_seed(0)

    def draw(like):
        return torch.randn(like.shape, generator=generator, dtype=torch.double)

    parameters = list(module.parameters())
    outs = _as_tuple(function())
    weights = [draw(out) for out in outs]
    given = [in_token_order(w) for w in weights] if tokens else weights
    gradients = torch.autograd.grad(outs, parameters, given)
    direction = [draw(parameter) for parameter in parameters]
    found = sum((g * d).sum() for g, d in zip(gradients, direction)).item()

    @torch.no_grad()
    def move(step):
        for parameter, d in zip(parameters, direction):
            parameter.add_(d, alpha=step)

    def value():
        with torch.no_grad():
            return sum((out * w).sum() for out, w in zip(_as_tuple(function()), weights)).item()

    move(STEP)
    above = value()
    move(-2 * STEP)
    wanted = (above - value()) / (2 * STEP)
    move(STEP)
    return abs(found - wanted) / max(1, abs(wanted))


def _as_tuple(maps):
    return (maps,) if isinstance(maps, torch.Tensor) else maps
