"""Architectures for tests."""

from pathlib import Path

# all kinds of layers and sources, in a fraction of a second
PICO = dict(
    embed_dims=(16, 24, 32, 40),
    depths=(1, 2, 3, 2),
    connections=dict(strides=(1, 1, 2, 1), starts=(None, 1, 0, 0), windows=(None, None, 1, None)),
)
# the same on shifted windows, several of them in images of 32 px and more
PICO_SWIN = dict(PICO, mixer=dict(num_heads=(2, 2, 4, 4), window_size=2))
PICO_VMAMBA = dict(embed_dims=(16, 24, 32, 40), depths=(1, 2, 3, 2))
# narrow heads; the last stage's are of attention
PICO_VSSD = dict(
    embed_dims=(16, 24, 32, 40), depths=(1, 2, 3, 2), mixer=dict(num_heads=(2, 4, 4, 5))
)
PICO_GROUPMAMBA = dict(embed_dims=(16, 24, 32, 40), depths=(1, 2, 3, 2))
# without stages; as wide as the last one of the others
PICO_PLAINMAMBA = dict(
    embed_dims=40,
    num_layers=4,
    convolved_layers=(0,),
    stem=dict(width=16, grid=3),
    mixer=dict(d_state=4, d_conv=3),
)
# images of 32x48
PICO_VIM = dict(embed_dims=24, num_layers=4, stem=dict(img_size=(32, 48)))
# the decoder halves its channels
PICO_VMUNET = dict(embed_dims=(8, 16, 32, 64), depths=(1, 2, 3, 2))
# what makes a detector's arch of another one: the scale that it learns
LEARNABLE = dict(connections=dict(aggregator=dict(attn_scale='learnable')))


def learnable(arch) -> dict:
    """Change an arch, a name or a dict with connections, to learn the attention's scale."""
    if isinstance(arch, str):
        return dict(base=arch, **LEARNABLE)
    return dict(arch, connections=dict(arch['connections'], **LEARNABLE['connections']))


def map_channels(arch) -> list:
    """Return the channels of the four maps of a small arch."""
    dims = arch['embed_dims']
    return [dims] * 4 if isinstance(dims, int) else list(dims)


def pico_for(config) -> dict:
    """Return the small arch of the backbone that a config file is named after."""
    name = Path(config).stem
    if 'unet' in name:
        return dict(PICO_VMUNET, base='tiny-cvss' if 'cvmh' in name else 'tiny')
    if 'vssd' in name:
        return dict(PICO_VSSD, base='tiny-iccv') if 'iccv' in name else PICO_VSSD
    if 'plainmamba' in name:
        return PICO_PLAINMAMBA
    if 'groupmamba' in name:
        return PICO_GROUPMAMBA
    return PICO_SWIN if 'swin' in name else PICO_VMAMBA if 'vmamba' in name else PICO
