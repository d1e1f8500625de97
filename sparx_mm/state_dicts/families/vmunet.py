"""VM-UNet files (https://arxiv.org/abs/2402.02491): whole segmentors."""

from ..keymap import KeyMap
from ..shapes import EXPANSION, LINEAR, MERGING, X_PROJ

# the layers of VMamba's first files
_BLOCK = (
    ('ln_1.', 'norm1.'),
    ('self_attention.in_proj.', 'proj.', LINEAR),
    ('self_attention.conv2d.', 'mixer.conv.'),
    ('self_attention.x_proj_weight', 'mixer.x_proj_weight', X_PROJ),
    ('self_attention.dt_projs_weight', 'mixer.dt_weight'),
    ('self_attention.dt_projs_bias', 'mixer.dt_bias'),
    ('self_attention.A_logs', 'mixer.A_log'),
    ('self_attention.Ds', 'mixer.D'),
    ('self_attention.out_norm.', 'mixer.norm.'),
    ('self_attention.out_proj.', 'mixer.out_proj.', LINEAR),
)
_HEAD = 'decode_head.'

VMUNET = KeyMap(
    'VM-UNet',
    layouts=('layers.{}.blocks.{}.',),
    layer=_BLOCK,
    top=(
        ('patch_embed.', 'stem.'),
        ('layers.{}.downsample.norm.', 'downsamples.{}.norm.', MERGING),
        ('layers.{}.downsample.reduction.', 'downsamples.{}.reduction.', MERGING),
    ),
    head=(
        *(
            (
                f'layers_up.{{}}.blocks.{{}}.{released}',
                f'{_HEAD}levels.{{}}.layers.{{}}.{own}',
                *rest,
            )
            for released, own, *rest in _BLOCK
        ),
        ('layers_up.{}.upsample.expand.', f'{_HEAD}expands.{{}}.expand.', EXPANSION),
        ('layers_up.{}.upsample.norm.', f'{_HEAD}expands.{{}}.norm.'),
        ('final_up.expand.', f'{_HEAD}final_expand.expand.', EXPANSION),
        ('final_up.norm.', f'{_HEAD}final_expand.norm.'),
        ('final_conv.', f'{_HEAD}conv_seg.'),
    ),
    root='vmunet.',
    # of own names, CVMH-UNet's alone: VM-UNet's encoder has no part that VMamba lacks
    mark=r'layers_up\.\d+\.|stages\.\d+\.layers\.\d+\.mixer\.scan\.',
)
