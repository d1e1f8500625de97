_base_ = './schedule_1x.py'

optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
