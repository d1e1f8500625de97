"""The check of a number of heads of attention, or of a scan."""

from ..errors import ConfigError


def check_heads(dim: int, num_heads: int) -> None:
    """Check that channels can be dealt out to heads.

    Args:
        dim (int): Number of channels.
        num_heads (int): Number of heads.

    Raises:
        ConfigError: If ``num_heads`` is no int, or no divisor of ``dim``.
    """
    if not isinstance(num_heads, int):
        raise ConfigError(
            'num_heads must be an int, or in an arch a sequence with one for each stage, '
            f'got {num_heads!r}'
        )
    if num_heads < 1 or dim % num_heads:
        raise ConfigError(
            f'num_heads must be at least 1 and divide the {dim} channels, got {num_heads}'
        )
