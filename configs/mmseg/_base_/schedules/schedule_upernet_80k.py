# for UperNet on aerial images: that of schedule_160k.py in the 80k iterations that mmseg trains
# these sets for
_base_ = './schedule_160k.py'

max_iters = 80000
train_cfg = dict(max_iters=max_iters)

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=1500, end=max_iters, by_epoch=False),
]
