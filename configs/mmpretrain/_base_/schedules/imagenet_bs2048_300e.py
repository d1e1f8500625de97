# 300 epochs of 2048 images = 8 GPUs x 256
_base_ = '../../../_base_/schedules/adamw.py'

max_epochs = 300
warmup_epochs = 20
lr = 4e-3
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# float16 needs a GPU; train with --amp-dtype bfloat16 on a CPU, or where the loss scale collapses
optim_wrapper = dict(
    type='AmpOptimWrapper', optimizer=dict(lr=lr, weight_decay=0.05), clip_grad=dict(max_norm=5.0)
)
param_scheduler = [
    # from 1e-6
    dict(
        type='LinearLR',
        start_factor=1e-6 / lr,
        begin=0,
        end=warmup_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        begin=warmup_epochs,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=2048)
