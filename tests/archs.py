"""Architectures for tests."""
# all kinds of layers and sources, in a fraction of a second
PICO = dict(
    embed_dims=(16, 24, 32, 40),
    depths=(1, 2, 3, 2),
    strides=(1, 1, 2, 1),
    starts=(None, 1, 0, 0),
    windows=(None, None, 1, None))
