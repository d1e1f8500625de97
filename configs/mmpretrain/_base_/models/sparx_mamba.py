# the released head: a group norm of one group, pooling, a linear layer
_base_ = './classifier_sparx.py'

model = dict(
    # the neck has the norm
    backbone=dict(type='SparXMamba', out_norm=False),
    neck=dict(type='NormPooling', norm_cfg=dict(type='GN', num_groups=1)),
)
