"""Vim files (https://arxiv.org/abs/2401.09417): ImageNet classifiers."""

from ..keymap import PLAIN_LAYER, KeyMap
from ..shapes import LINEAR, ONE_DT_BIAS, ONE_DT_PROJ, ONE_X_PROJ

# each scan's; the names of the second one have a letter more
_SCAN = (
    ('conv1d{}.', 'conv.'),
    ('x_proj{}.weight', 'x_proj_weight', ONE_X_PROJ),
    ('dt_proj{}.weight', 'dt_weight', ONE_DT_PROJ),
    ('dt_proj{}.bias', 'dt_bias', ONE_DT_BIAS),
    ('D{}', 'D'),
)

VIM = KeyMap(
    'Vim',
    layouts=(('layers.{}.', PLAIN_LAYER),),
    layer=(
        ('norm.', 'norm1.'),
        ('mixer.in_proj.', 'proj.', LINEAR),
        ('mixer.A_log', 'mixer.scans.0.A_log'),
        ('mixer.A_b_log', 'mixer.scans.1.A_log'),
        *(
            (f'mixer.{released.format(letter)}', f'mixer.scans.{i}.{own}', *shape)
            for i, letter in enumerate(('', '_b'))
            for released, own, *shape in _SCAN
        ),
        ('mixer.out_proj.', 'mixer.out_proj.', LINEAR),
    ),
    top=(
        ('patch_embed.proj.', 'stem.proj.'),
        ('cls_token', 'stem.class_token'),
        ('pos_embed', 'stem.pos_embed'),
        ('norm_f.', 'norms.last.'),
    ),
    head=(('head.weight', 'head.fc.weight'), ('head.bias', 'head.fc.bias')),
    # no other family scans with two sets of parameters
    mark=r'(?<!stages\.\d\.)layers\.\d+\.mixer\.(?:A_b_log|scans\.1\.)',
    # a classifier has all
    optional=r'(?!)',
)
