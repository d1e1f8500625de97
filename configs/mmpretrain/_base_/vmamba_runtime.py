_base_ = './default_runtime.py'

# decay 0.9999, the authors'
default_hooks = dict(ema=dict(momentum=1e-4))
