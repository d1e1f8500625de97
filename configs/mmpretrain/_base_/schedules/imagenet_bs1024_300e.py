# 300 epochs of 1024 images = 8 GPUs x 128
_base_ = './imagenet_bs2048_300e.py'

lr = 1e-3
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = _base_.param_scheduler
# from 1e-6
param_scheduler[0].start_factor = 1e-6 / lr
auto_scale_lr = dict(base_batch_size=1024)
