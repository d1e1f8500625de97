_base_ = './runtime_without_ema.py'

default_hooks = dict(
    # Evaluate a moving average of decay 0.9998, of batch statistics too; checkpoints have it in
    # state_dict. A run of fewer than 20,000 iterations needs a larger momentum or no average. Switch
    # it off by
    #   default_hooks.ema=None
    ema=dict(type='EMAHook', momentum=2e-4, update_buffers=True),
)
