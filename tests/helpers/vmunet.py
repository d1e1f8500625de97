"""VM-UNet and CVMH-UNet as segmentors of mmseg, and the reference's weights."""

import json
import re
from functools import cache
from pathlib import Path

import deterministic
import numpy as np
import torch
from mmengine import ConfigDict
from mmengine.registry import MODELS, init_default_scope

import sparx_mm.decode_heads  # noqa: F401

DATA = Path(__file__).parents[1] / 'data' / 'vmunet'
CHANNELS = (96, 192, 384, 768)
FAINT = re.compile(
    r'(.*\.)?(patch_embed\.(proj|norm)|self_attention\.in_proj|downsample\.reduction|upsample\.norm)\.(weight|bias)'
)
# a fraction of a second
PICO = dict(base='tiny', embed_dims=(16, 32, 64, 128), depths=(1, 2, 1, 1))
# a gate of one hidden channel may reach none
PICO_CVSS = dict(PICO, base='tiny-cvss', mixer=dict(reduction=2))


def segmentor(
    arch='tiny', fusion='Add', num_classes=6, skips=None, read=None, backbone={}, head={}
):
    """Build a segmentor; VM-UNet's reads F2 to F4, CVMH-UNet's F1 too.

    Args:
        skips (int, optional): How many maps beside the last one the encoder returns.
        read (int, optional): How many of them the decoder reads. Default: all of them.
    """
    init_default_scope('mmseg')
    channels = CHANNELS if isinstance(arch, str) else arch['embed_dims']
    skips = skips or (3 if fusion == 'Add' else 4)
    fusion = fusion if isinstance(fusion, dict) else dict(type=fusion)
    return MODELS.build(
        ConfigDict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor'),
            backbone=dict(
                type='VMUNetEncoder', arch=arch, out_indices=tuple(range(4 - skips, 4)), **backbone
            ),
            decode_head=dict(
                type='VMUNetHead',
                arch=arch,
                in_channels=[*channels[4 - (read or skips) :], channels[-1]],
                num_classes=num_classes,
                fusion=fusion,
                **head,
            ),
            test_cfg=dict(mode='whole'),
        )
    )


def manifest():
    """Read the rows (key, shape, is buffer) of an official file of six classes."""
    return json.loads((DATA / 'manifest_seg_6.json').read_text())


def golden(name):
    """Read the arrays of a golden file, by name."""
    with np.load(DATA / f'golden_{name}.npz') as file:
        return {key: torch.from_numpy(file[key]) for key in file}


@cache
def official_state(faint=False):
    """Make an official file's state dict, with the reference's deterministic weights.

    Beside the rules of `deterministic`: A_logs are log(1 + state) + 0.3 n, the biases of dt
    -2 + 0.5 n, and ``faint`` multiplies what `FAINT` matches by 0.01.
    """
    state = {}
    for key, shape, _ in manifest():
        value = deterministic.make_tensor(key, shape)
        n = deterministic.stream(key).standard_normal(shape)
        if key.endswith('A_logs'):
            value = np.log(1.0 + np.arange(shape[-1])) + 0.3 * n
        elif key.endswith('dt_projs_bias'):
            value = -2.0 + 0.5 * n
        if faint and FAINT.fullmatch(key):
            value = 0.01 * value
        state[key] = torch.from_numpy(np.asarray(value, np.float32))
    return state
