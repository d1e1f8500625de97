# 300 epochs of 2048 images = 8 GPUs x 256, at the rates of PlainMamba's smaller networks
_base_ = './imagenet_bs2048_300e.py'

lr = 2e-3
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = _base_.param_scheduler
# from 2e-6
param_scheduler[0].start_factor = 1e-3
param_scheduler[1].eta_min = 2e-5
