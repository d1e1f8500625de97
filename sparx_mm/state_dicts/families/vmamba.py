"""VMamba files (https://arxiv.org/abs/2401.10166), vanilla ones (v0) among them."""

from ..keymap import KeyMap
from ..shapes import DT_PROJ, LINEAR, MERGING, SAME, X_PROJ

_SCAN = (
    ('conv2d.', 'mixer.conv.'),
    ('x_proj_weight', 'mixer.x_proj_weight', X_PROJ),
    ('dt_projs_weight', 'mixer.dt_weight'),
    ('dt_projs_bias', 'mixer.dt_bias'),
    ('A_logs', 'mixer.A_log'),
    ('Ds', 'mixer.D'),
    ('out_norm.', 'mixer.norm.'),
    ('out_proj.', 'mixer.out_proj.', LINEAR),
    ('in_proj.', 'proj.', LINEAR),
    # the authors' newest code saves the two as linear layers
    ('x_proj.weight', 'mixer.x_proj_weight', X_PROJ),
    ('dt_projs.weight', 'mixer.dt_weight', DT_PROJ),
)

VMAMBA = KeyMap(
    'VMamba',
    layouts=('layers.{}.blocks.{}.',),
    layer=(
        ('norm.', 'norm1.'),
        ('norm2.', 'norm2.'),
        ('mlp.', 'ffn.', LINEAR),
        *((f'op.{released}', *rest) for released, *rest in _SCAN),
        # first files of v0
        ('ln_1.', 'norm1.'),
        *((f'self_attention.{released}', *rest) for released, *rest in _SCAN),
    ),
    top=(
        # the stem of v0 ends before `patch_embed.5`
        *(
            (f'patch_embed.{released}.', f'stem.{own}.', *rest)
            for released, own, *rest in (
                (0, 0, SAME, 'patch_embed.5.'),
                (2, 1, SAME, 'patch_embed.5.'),
                (5, 3),
                (7, 4),
                (0, 'proj'),
                (2, 'norm'),
                ('proj', 'proj'),
                ('norm', 'norm'),
            )
        ),
        ('layers.{}.downsample.1.', 'downsamples.{}.0.'),
        ('layers.{}.downsample.3.', 'downsamples.{}.1.'),
        ('layers.{}.downsample.norm.', 'downsamples.{}.norm.', MERGING),
        ('layers.{}.downsample.reduction.', 'downsamples.{}.reduction.', MERGING),
        ('outnorm{}.', 'norms.{}.'),
    ),
    head=(
        ('classifier.norm.', 'neck.norm.'),
        ('classifier.head.', 'head.fc.'),
        # first files of v0
        ('norm.weight', 'neck.norm.weight'),
        ('norm.bias', 'neck.norm.bias'),
        ('head.weight', 'head.fc.weight'),
        ('head.bias', 'head.fc.bias'),
    ),
    mark=r'patch_embed\.[25]\.|outnorm\d|classifier\.norm\.'
    r'|layers\.\d+\.blocks\.\d+\.(ln_1|self_attention)\.'
    r'|stem\.0\.bias',
)
