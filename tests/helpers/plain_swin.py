"""Plain Swin files, in the layouts that are about."""

# of a block: outputs and inputs as multiples of its channels
LINEAR = {
    'attn.w_msa.qkv': (3, 1),
    'attn.w_msa.proj': (1, 1),
    'ffn.layers.0.0': (4, 1),
    'ffn.layers.1': (1, 4),
}
# what the original code calls it
ORIGINAL = {
    'stages.': 'layers.',
    'attn.w_msa.': 'attn.',
    'ffn.layers.0.0.': 'mlp.fc1.',
    'ffn.layers.1.': 'mlp.fc2.',
    'projection': 'proj',
}


def mm_names(depths, dims, head_dim=8, window=3):
    """Names and shapes of OpenMMLab's Swin, output norms for all stages."""
    shapes = {
        'patch_embed.projection.weight': (dims[0], 3, 4, 4),
        'patch_embed.projection.bias': (dims[0],),
    }
    vectors = {'patch_embed.norm': dims[0]}
    for i, (depth, dim) in enumerate(zip(depths, dims)):
        for j in range(depth):
            block = f'stages.{i}.blocks.{j}'
            vectors[f'{block}.norm1'] = vectors[f'{block}.norm2'] = dim
            for name, (rows, columns) in LINEAR.items():
                shapes[f'{block}.{name}.weight'] = (rows * dim, columns * dim)
                shapes[f'{block}.{name}.bias'] = (rows * dim,)
            table = ((2 * window - 1) ** 2, dim // head_dim)
            shapes[f'{block}.attn.w_msa.relative_position_bias_table'] = table
        if i < len(depths) - 1:
            vectors[f'stages.{i}.downsample.norm'] = 4 * dim
            merging = f'stages.{i}.downsample.reduction.weight'
            shapes[merging] = (2 * dim, 4 * dim)
        vectors[f'norm{i}'] = dim
    for name, dim in vectors.items():
        shapes[f'{name}.weight'] = shapes[f'{name}.bias'] = (dim,)
    return shapes


def to_original(weights):
    """The names and the patch merging of the original code."""
    renamed = {}
    for name, value in weights.items():
        if '.downsample.' in name:
            channels = value.shape[-1] // 4
            # of each channel: row by row; wanted: column by column
            order = [4 * c + place for place in (0, 2, 1, 3) for c in range(channels)]
            value = value[..., order]
        for old, new in ORIGINAL.items():
            name = name.replace(old, new)
        renamed[name] = value
    return renamed


def to_timm(weights):
    """The original names; a stage starts with its patch merging."""
    weights = to_original(weights)
    for i in (2, 1, 0):
        for rest in ('norm.weight', 'norm.bias', 'reduction.weight'):
            value = weights.pop(f'layers.{i}.downsample.{rest}')
            weights[f'layers.{i + 1}.downsample.{rest}'] = value
    return weights
