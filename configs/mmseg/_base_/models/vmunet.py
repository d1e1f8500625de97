# VM-UNet: adds three maps of the encoder in the decoder; a config adds its backbone
_base_ = './segmentor.py'

model = dict(
    backbone=dict(out_indices=(1, 2, 3)),
    decode_head=dict(
        type='VMUNetHead',
        fusion=dict(type='Add'),
        # as many in the sum, as CVMH-UNet's paper has them in an unknown ratio
        loss_decode=[
            # pixels without a class, as at the borders of classes, do not dilute the mean
            dict(
                type='CrossEntropyLoss', loss_name='loss_ce', loss_weight=1.0, avg_non_ignore=True
            ),
            dict(type='DiceLoss', use_sigmoid=False, loss_name='loss_dice', loss_weight=1.0),
        ],
    ),
)
