# the demo's Semantic FPN for the drawn towns, from scratch
_base_ = './semantic_fpn_demo.py'

model = dict(
    backbone=dict(
        init_cfg=dict(
            _delete_=True, type='Kaiming', layer='Conv2d', mode='fan_in', distribution='normal'
        ),
    ),
    decode_head=dict(
        num_classes=6,
        # cars and ponds have less than a hundredth of all pixels
        loss_decode=dict(class_weight=[1.0, 1.0, 0.5, 1.0, 4.0, 2.0]),
    ),
)
