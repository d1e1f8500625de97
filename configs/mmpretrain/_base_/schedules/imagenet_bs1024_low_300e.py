# 300 epochs of 1024 images = 8 GPUs x 128, at the lower rate of VSSD's larger networks
_base_ = './imagenet_bs2048_300e.py'

lr = 6e-4
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = _base_.param_scheduler
# from 1e-6
param_scheduler[0].start_factor = 1e-6 / lr
param_scheduler[1].eta_min = 6e-6
auto_scale_lr = dict(base_batch_size=1024)
