"""SparX files (https://arxiv.org/abs/2409.09649): SparX-Mamba as released."""

from ..keymap import KeyMap
from ..shapes import CONV

SPARX = KeyMap(
    'SparX',
    layouts=('layers.{}.blocks.{}.',),
    layer=(
        ('pos_embed.', 'dpe.'),
        ('norm.', 'norm1.'),
        ('norm2.', 'norm2.'),
        ('mlp.', 'ffn.', CONV),
        ('layerscale_1.', 'skip1.'),
        ('layerscale_2.', 'skip2.'),
        ('op.in_proj.weight', 'proj.weight', CONV),
        ('op.in_proj.bias', 'proj.bias'),
        ('op.in_proj.', 'proj.fuse.'),
        ('op.d_norm.', 'proj.source_norm.'),
        ('op.d_proj.', 'proj.source_proj.'),
        ('op.q.', 'proj.q.'),
        ('op.k.', 'proj.k.'),
        ('op.v.', 'proj.v.'),
        ('op.scale', 'proj.scale'),
        ('op.conv2d.', 'mixer.conv.'),
        ('op.x_proj_weight', 'mixer.x_proj_weight'),
        ('op.dt_projs_weight', 'mixer.dt_weight'),
        ('op.dt_projs_bias', 'mixer.dt_bias'),
        ('op.A_logs', 'mixer.A_log'),
        ('op.Ds', 'mixer.D'),
        ('op.out_norm.', 'mixer.norm.'),
        ('op.out_proj.', 'mixer.out_proj.', CONV),
    ),
    # released stems, downsamplings and norms are numbered. Swin's
    # `patch_embed.proj`, `norm.weight` and `downsample.norm` are other parts,
    # of which SparX-Swin has its own
    top=(
        ('patch_embed.{}.', 'stem.{}.'),
        ('layers.{}.downsample.{}.', 'downsamples.{}.{}.'),
        ('norm.{}.', 'norms.{}.'),
    ),
    # the released head has parts without weights between the two
    head=(('classifier.0.', 'neck.norm.'), ('classifier.3.', 'head.fc.')),
    # VMamba has neither position encodings nor sources; where SparX's stem has
    # convolutions and norms, VMamba's has activations and permutations
    mark=r'layers\.\d+\.blocks\.\d+\.(pos_embed|layerscale_\d|op\.([qkv]|d_norm|d_proj|scale)\b)'
    r'|patch_embed\.[134]\.'
    r'|stages\.\d+\.layers\.\d+\.(skip\d\.|proj\.[a-z_]+\.'
    r'|mixer\.relative_position_bias_table)',
    # an ImageNet file has no output norms and others have those of their
    # out_indices; of the released files only the detectors have a scale
    optional=r'norms\..*|.*\.proj\.scale',
)
