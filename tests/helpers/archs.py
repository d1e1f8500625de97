"""Architectures for tests."""

from pathlib import Path

# all kinds of layers and sources, in a fraction of a second
PICO = dict(
    embed_dims=(16, 24, 32, 40),
    depths=(1, 2, 3, 2),
    strides=(1, 1, 2, 1),
    starts=(None, 1, 0, 0),
    windows=(None, None, 1, None),
)
# the same on shifted windows, several of them in images of 32 px and more
PICO_SWIN = dict(
    PICO, mixer=dict(type='ShiftedWindowAttention', num_heads=(2, 2, 4, 4), window_size=2)
)


def pico_for(config) -> dict:
    """The small arch of the backbone that a config file is named after."""
    return PICO_SWIN if 'swin' in Path(config).stem else PICO
