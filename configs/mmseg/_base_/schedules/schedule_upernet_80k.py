# for UperNet on aerial images: that of schedule_160k.py in the 80k iterations that mmseg trains
# these sets for
_base_ = './schedule_160k.py'

max_iters = 80000
train_cfg = dict(max_iters=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[1].end = max_iters
