# 800 iterations x batch of 4 = 8 epochs of the 400 training images
_base_ = './schedule_demo.py'

max_iters = 800
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[1].end = max_iters
