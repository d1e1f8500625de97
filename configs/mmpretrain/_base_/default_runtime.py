_base_ = '../../_base_/default_runtime.py'

default_scope = 'mmpretrain'

default_hooks = dict(
    checkpoint=dict(save_best='accuracy/top1'),
    # a moving average of decay 0.9998, of batch statistics too, is what is
    # evaluated; checkpoints have it in state_dict. A run of less than 20,000
    # iterations needs a larger momentum, or none of it; switch it off:
    #   default_hooks.ema=None
    ema=dict(type='EMAHook', momentum=2e-4, update_buffers=True),
    visualization=dict(type='VisualizationHook', enable=False),
)

# without a name: each run in a process has its own, in its own folder
visualizer = dict(type='UniversalVisualizer', vis_backends={{_base_.vis_backends}})
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
