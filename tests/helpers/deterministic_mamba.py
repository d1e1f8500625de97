"""Deterministic weights of PlainMamba and Vim, beside those of `deterministic`.

Streams, inputs and cotangents are the same; these rules differ, of which the first
that matches counts (`owner.leaf` ends the key):

    num_batches_tracked                     0 (int64)
    running_var                             1 + 0.1 |n|
    running_mean                            0.1 n
    A_log, A_b_log, A_logs    (..., N)      log(1 + last index) + 0.3 n
    D, D_b, Ds                              1 + 0.1 n
    dt_projs_bias, dt_proj*.bias            -2 + 0.5 n
    dt_projs_weight, x_proj_weight,
    dt_proj*.weight, x_proj*.weight         n / sqrt(last dim)
    direction_Bs, pos_embed, cls_token,
    level_embed                             0.5 n
    gamma                                   0.5 + 0.05 n
    *.weight with 1 dim (norms)             1 + 0.05 n
    *.weight with >= 2 dims                 n / sqrt(prod(shape[1:]))
    *.bias                                  0.02 n

``faint`` multiplies what `FAINT` matches by 0.01, so that the norms' eps shows.
"""

import math
import re

import numpy as np
from deterministic import stream

FAINT = re.compile(
    r'(.*\.)?((patch_embed\.(projection|proj|norm)|(mamba|mixer)\.out_proj'
    r'|self_attention\.in_proj|downsample\.reduction|upsample\.norm)\.(weight|bias)'
    r'|pos_embed|cls_token)'
)
# leaves and their mean and deviation
SCALES = {
    'running_mean': (0.0, 0.1),
    **dict.fromkeys(('D', 'D_b', 'Ds'), (1.0, 0.1)),
    'dt_projs_bias': (-2.0, 0.5),
    **dict.fromkeys(('direction_Bs', 'pos_embed', 'cls_token', 'level_embed'), (0.0, 0.5)),
    'gamma': (0.5, 0.05),
    'bias': (0.0, 0.02),
}


def make_tensor(key, shape, faint=False):
    """The value for one state-dict key, as float32 (int64 for counters)."""
    shape = tuple(int(s) for s in shape)
    *_, owner, leaf = ('', *key.split('.'))
    if leaf == 'num_batches_tracked':
        return np.zeros(shape, dtype=np.int64)
    n = stream(key).standard_normal(shape)
    is_projection = owner.startswith(('dt_proj', 'x_proj'))
    if leaf == 'running_var':
        v = 1.0 + 0.1 * np.abs(n)
    elif leaf in ('A_log', 'A_b_log', 'A_logs'):
        v = np.log(1.0 + np.arange(shape[-1])) + 0.3 * n
    elif leaf == 'bias' and owner.startswith('dt_proj'):
        v = -2.0 + 0.5 * n
    elif leaf in SCALES:
        mean, deviation = SCALES[leaf]
        v = mean + deviation * n
    elif leaf in ('dt_projs_weight', 'x_proj_weight') or (leaf == 'weight' and is_projection):
        v = n / math.sqrt(shape[-1])
    elif leaf == 'weight':
        v = 1.0 + 0.05 * n if len(shape) == 1 else n / math.sqrt(math.prod(shape[1:]))
    else:
        raise KeyError(f'no rule for {key}')
    if faint and FAINT.fullmatch(key):
        v = 0.01 * v
    return np.asarray(v, dtype=np.float32)


def make_state(manifest, faint=False):
    """``manifest``: iterable of (key, shape, ...) -> dict of numpy arrays."""
    return {row[0]: make_tensor(row[0], row[1], faint) for row in manifest}
