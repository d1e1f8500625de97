# Swin's head: the output norm of the backbone, pooling, a linear layer
_base_ = './classifier_sparx.py'

model = dict(backbone=dict(type='SparXSwin', out_norm=True), neck=dict(type='GlobalAveragePooling'))
