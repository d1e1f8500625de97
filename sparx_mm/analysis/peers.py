"""Backbones of other libraries that ours are looked at and timed beside."""


def _swin(depth: int, **options) -> dict:
    return dict(type='mmdet.SwinTransformer', depths=(2, 2, depth, 2), **options)


def _convnext(arch: str) -> dict:
    # the maps of all stages
    return dict(
        type='mmpretrain.ConvNeXt',
        arch=arch,
        out_indices=(0, 1, 2, 3),
        gap_before_final_norm=False,
    )


# configs by size and name; all else as the library has it
PEERS = {
    'tiny': {'Swin-T': _swin(6), 'ConvNeXt-T': _convnext('tiny')},
    'small': {'Swin-S': _swin(18), 'ConvNeXt-S': _convnext('small')},
    'base': {
        'Swin-B': _swin(18, embed_dims=128, num_heads=(4, 8, 16, 32)),
        'ConvNeXt-B': _convnext('base'),
    },
}


def find_peer(name: str) -> dict | None:
    """Return the config of a peer.

    Args:
        name (str): Name such as ``'Swin-T'``.

    Returns:
        dict, optional: Its config; None if there is no such peer.
    """
    return {name: cfg for size in PEERS.values() for name, cfg in size.items()}.get(name)
