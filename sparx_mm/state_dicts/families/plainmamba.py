"""PlainMamba files (https://arxiv.org/abs/2403.17695): classifiers, segmentors and detectors."""

from ..keymap import PLAIN_LAYER, KeyMap
from ..shapes import LINEAR, ONE_DT_BIAS, ONE_DT_PROJ, ONE_X_PROJ, POSITIONS
from .vit_adapter import ADAPTER, ADAPTER_CORE, ADAPTER_NAMES

PLAINMAMBA = KeyMap(
    'PlainMamba',
    layouts=(('layers.{}.', PLAIN_LAYER),),
    layer=(
        ('norm.', 'norm1.'),
        ('mamba.in_proj.', 'proj.', LINEAR),
        ('mamba.conv2d.', 'mixer.conv.'),
        ('mamba.x_proj.weight', 'mixer.x_proj_weight', ONE_X_PROJ),
        ('mamba.dt_proj.weight', 'mixer.dt_weight', ONE_DT_PROJ),
        ('mamba.dt_proj.bias', 'mixer.dt_bias', ONE_DT_BIAS),
        ('mamba.A_log', 'mixer.A_log'),
        ('mamba.D', 'mixer.D'),
        ('mamba.direction_Bs', 'mixer.direction_Bs'),
        ('mamba.out_proj.', 'mixer.out_proj.', LINEAR),
        ('dw.0.', 'conv.'),
        ('dw.1.', 'conv_norm.'),
    ),
    top=(
        ('patch_embed.stem.', 'stem.entry.'),
        ('patch_embed.convs.', 'stem.convs.'),
        ('patch_embed.projection.', 'stem.proj.'),
        ('pos_embed', 'stem.pos_embed', POSITIONS),
        ('norm_layer{}.', 'norms.{}.'),
        ('ln1.', 'norms.last.'),
        *ADAPTER,
    ),
    # the names of mmpretrain, which are older than its own
    head=(('head.fc.', 'head.fc.'),),
    # a layer of a stage may have this mixer in another family's network
    mark=r'(?<!stages\.\d\.)layers\.\d+\.(?:mamba|mixer)\.direction_Bs',
    # a classifier or segmentor has no adapter
    optional=rf'norms\..*|{ADAPTER_NAMES}',
    whole=ADAPTER_CORE,
)
