"""The weights that linear layers and convolutions start with."""

import math

from torch import nn

from ..errors import ConfigError

# rules for convolutions of more than one position
CONVOLUTION_RULES = ('trunc_normal', 'fan_out', 'torch')


def draw_weights(module: nn.Module, convolutions: str = 'trunc_normal') -> None:
    """Draw the weights of a convolution or linear layer anew; others stay.

    Linear layers, among them convolutions of 1x1 unless their attribute ``linear`` is
    False, get truncated normal weights of standard deviation 0.02. Biases get zeros.

    Args:
        module (nn.Module): Any module; its children stay.
        convolutions (str): Rule for all other convolutions: ``'trunc_normal'``, as
            for linear layers; ``'fan_out'``, normal weights of variance 2 / (K^2 C / groups)
            for kernels of KxK and C output channels; or ``'torch'``, they stay as torch
            made them. Default: ``'trunc_normal'``.

    Raises:
        ConfigError: If the rule is another one.
    """
    if convolutions not in CONVOLUTION_RULES:
        raise ConfigError(
            f'a rule for the weights of convolutions is one of {CONVOLUTION_RULES}, '
            f'got {convolutions!r}'
        )
    if not isinstance(module, (nn.Conv2d, nn.Linear)):
        return
    is_linear = isinstance(module, nn.Linear) or (
        module.kernel_size == (1, 1) and getattr(module, 'linear', True)
    )
    rule = 'trunc_normal' if is_linear else convolutions
    if rule == 'torch':
        return
    if rule == 'fan_out':
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    else:
        nn.init.trunc_normal_(module.weight, std=0.02)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
