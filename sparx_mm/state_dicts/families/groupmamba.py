"""GroupMamba files (https://arxiv.org/abs/2407.13772): ImageNet classifiers."""

from ..keymap import KeyMap
from ..shapes import LINEAR, SAME, X_PROJ

# where the four groups of a mixer are one tensor here
_GROUPS = (
    ('in_proj.', 'in_proj.', LINEAR),
    ('conv2d.', 'conv.', SAME),
    ('x_proj_weight', 'x_proj_weight', X_PROJ),
    ('dt_projs_weight', 'dt_weight', SAME),
    ('dt_projs_bias', 'dt_bias', SAME),
    ('A_logs', 'A_log', SAME),
    ('Ds', 'D', SAME),
    ('out_norm.', 'out_norm.', SAME),
    ('out_proj.', 'out_proj.', LINEAR),
)
_BLOCK = (
    ('norm2.', 'norm2.'),
    ('attn.norm.', 'mixer.norm.'),
    ('attn.fc1.', 'mixer.gate.fc1.', LINEAR),
    ('attn.fc2.', 'mixer.gate.fc2.', LINEAR),
    ('attn.skip_scale', 'mixer.skip_scale'),
    ('attn.proj.', 'mixer.proj.', LINEAR),
    *(
        (f'attn.mamba_g#.{released}', f'mixer.{own}', shape, '', '', 4)
        for released, own, shape in _GROUPS
    ),
    ('mlp.dwconv.dwconv.', 'ffn.dwconv.'),
    ('mlp.', 'ffn.', LINEAR),
)

GROUPMAMBA = KeyMap(
    'GroupMamba',
    # released stages are numbered from 1
    layouts=tuple((f'block{i + 1}.{{}}.', f'stages.{i}.layers.{{}}.') for i in range(4)),
    layer=_BLOCK,
    top=(
        ('patch_embed1.', 'stem.'),
        *(
            row
            for i in range(3)
            for row in (
                (f'patch_embed{i + 2}.proj.', f'downsamples.{i}.0.'),
                (f'patch_embed{i + 2}.norm.', f'downsamples.{i}.1.'),
            )
        ),
        *((f'norm{i + 1}.', f'norms.{i}.') for i in range(4)),
    ),
    # a classifier has the last norm after its class block
    head=(
        *((f'post_network.0.{released}', f'neck.{own}', *rest) for released, own, *rest in _BLOCK),
        ('post_network.0.norm1.', 'neck.norm1.'),
        ('norm4.', 'neck.norm.'),
        ('head.', 'head.fc.'),
        ('dist_head.', 'head.fc_dist.'),
    ),
    mark=r'block[1-4]\.\d+\.attn\.(mamba_g\d|skip_scale)'
    r'|stages\.\d+\.layers\.\d+\.mixer\.(skip_scale|gate\.)',
    # the other norms are on the trunk, which every task has
    optional=r'norms\.3\..*',
)
