# the released head: a layer norm of each position, pooling, a linear layer
_base_ = './classifier.py'

model = dict(
    # the norm is the neck's
    backbone=dict(arch=dict(out_norm=None)),
    neck=dict(type='NormPooling', norm_cfg=dict(type='LN2d')),
)
