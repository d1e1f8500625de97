# the released head: the norm after the last layer, pooling, a linear layer
_base_ = './classifier.py'

model = dict(backbone=dict(out_indices=[-1]))
