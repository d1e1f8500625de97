"""Plain Swin files (https://arxiv.org/abs/2103.14030), from which a backbone may start.

Two dialects of names exist: the original code's, ``layers.0.blocks.0.attn.qkv``,
which timm has too, and OpenMMLab's, ``stages.0.blocks.0.attn.w_msa.qkv``.
"""

from ..keymap import KeyMap
from ..shapes import LINEAR, MERGING

_ATTENTION = (
    ('qkv.', 'proj.', LINEAR),
    ('relative_position_bias_table', 'mixer.relative_position_bias_table'),
    ('proj.', 'mixer.out_proj.', LINEAR),
)

SWIN = KeyMap(
    'plain Swin',
    layouts=('layers.{}.blocks.{}.', 'stages.{}.blocks.{}.'),
    layer=(
        ('norm1.', 'norm1.'),
        *((f'attn.w_msa.{released}', *rest) for released, *rest in _ATTENTION),
        *((f'attn.{released}', *rest) for released, *rest in _ATTENTION),
        ('norm2.', 'norm2.'),
        ('mlp.fc1.', 'ffn.fc1.', LINEAR),
        ('mlp.fc2.', 'ffn.fc2.', LINEAR),
        ('ffn.layers.0.0.', 'ffn.fc1.', LINEAR),
        ('ffn.layers.1.', 'ffn.fc2.', LINEAR),
    ),
    top=(
        ('patch_embed.proj.', 'stem.proj.'),
        ('patch_embed.projection.', 'stem.proj.'),
        ('patch_embed.norm.', 'stem.norm.'),
        *(
            (f'{released}.downsample.{part}.', f'downsamples.{own}.{part}.', *rest)
            for part in ('norm', 'reduction')
            for released, own, *rest in (
                # patch merging ends a stage, except in newer files of timm, where
                # it starts the next one
                ('layers.{}', '{}', MERGING, 'layers.0.downsample.'),
                ('layers.1', 0, MERGING),
                ('layers.2', 1, MERGING),
                ('layers.3', 2, MERGING),
                ('stages.{}', '{}', LINEAR),
            )
        ),
        ('norm{}.', 'norms.{}.'),
        # a classifier has one, after its last stage
        ('norm.', 'norms.3.'),
    ),
    # only the first version of Swin has its position bias in a table
    mark=r'(layers|stages)\.\d+\.blocks\.\d+\.attn\.(w_msa\.)?relative_position_bias_table',
    derived=r'.*\.(relative_position_index|attn_mask)',
)
