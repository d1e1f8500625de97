"""VSSD files (https://arxiv.org/abs/2407.18559), of 2024 and of ICCV 2025."""

from ..keymap import KeyMap
from ..shapes import LINEAR

# the own name by which a layer is told from one with attention
_SSD = (LINEAR, '', 'mixer.A_log')

VSSD = KeyMap(
    'VSSD',
    layouts=('layers.{}.blocks.{}.',),
    layer=(
        ('cpe1.', 'dpe.'),
        ('norm1.', 'norm1.'),
        ('attn.in_proj.', 'proj.', *_SSD),
        ('attn.conv2d.', 'mixer.conv.'),
        ('attn.dt_bias', 'mixer.dt_bias'),
        ('attn.A_log', 'mixer.A_log'),
        ('attn.D', 'mixer.D'),
        ('attn.norm.', 'mixer.norm.'),
        ('attn.out_proj.', 'mixer.out_proj.', *_SSD),
        ('attn.to_qkv.', 'proj.', LINEAR),
        ('attn.to_out.', 'mixer.out_proj.', LINEAR),
        ('cpe2.', 'ffn_dpe.'),
        ('norm2.', 'norm2.'),
        ('mlp.', 'ffn.', LINEAR),
    ),
    top=(
        *(
            (f'patch_embed.conv{part}.{kind}.', f'stem.conv{own}.')
            for part, kind, own in (
                ('1', 'conv', '1.0'),
                ('1', 'norm', '1.1'),
                ('2.0', 'conv', '2.0'),
                ('2.0', 'norm', '2.1'),
                ('2.1', 'conv', '2.3'),
                ('2.1', 'norm', '2.4'),
                ('3.0', 'conv', '3.0'),
                ('3.0', 'norm', '3.1'),
                ('3.1', 'conv', '3.3'),
                ('3.1', 'norm', '3.4'),
            )
        ),
        ('layers.{}.downsample.conv.0.conv.', 'downsamples.{}.expand.'),
        ('layers.{}.downsample.conv.1.conv.', 'downsamples.{}.depthwise.'),
        ('layers.{}.downsample.conv.2.conv.', 'downsamples.{}.reduce.'),
        ('layers.{}.downsample.conv.2.norm.', 'downsamples.{}.norm.'),
        ('outnorm{}.', 'norms.{}.'),
        # of ICCV 2025
        ('patch_embed.proj.{}.', 'stem.{}.'),
        ('layers.{}.downsample.reduction.', 'downsamples.{}.0.'),
        ('layers.{}.downsample.norm.', 'downsamples.{}.1.'),
    ),
    head=(
        ('norm.weight', 'neck.norm.weight'),
        ('norm.bias', 'neck.norm.bias'),
        ('head.weight', 'head.fc.weight'),
        ('head.bias', 'head.fc.bias'),
    ),
    # no other family has a position encoding before its FFN
    mark=r'layers\.\d+\.blocks\.\d+\.cpe[12]\.|stages\.\d+\.layers\.\d+\.ffn_dpe\.',
    # a table for one size of map
    derived=r'layers\.\d+\.blocks\.\d+\.attn\.ropes\.rotations',
)
