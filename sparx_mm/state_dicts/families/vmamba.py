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
        ('patch_embed.0.', 'stem.0.', SAME, 'patch_embed.5.'),
        ('patch_embed.2.', 'stem.1.', SAME, 'patch_embed.5.'),
        ('patch_embed.5.', 'stem.3.'),
        ('patch_embed.7.', 'stem.4.'),
        # the stem of v0 has one convolution
        ('patch_embed.0.', 'stem.proj.'),
        ('patch_embed.2.', 'stem.norm.'),
        # first files of v0
        ('patch_embed.proj.', 'stem.proj.'),
        ('patch_embed.norm.', 'stem.norm.'),
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
    # of own names, only the bias in the stem of v2 is not SparX's as released
    mark=r'patch_embed\.[25]\.|outnorm\d|classifier\.norm\.'
    r'|layers\.\d+\.blocks\.\d+\.(ln_1|self_attention)\.'
    r'|stem\.0\.bias',
)
