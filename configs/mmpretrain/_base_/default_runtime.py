_base_ = '../../_base_/default_runtime.py'

default_scope = 'mmpretrain'

default_hooks = dict(
    checkpoint=dict(save_best='accuracy/top1'),
    # Evaluate a moving average of decay 0.9998, of batch statistics too; checkpoints have it in
    # state_dict. A run of fewer than 20,000 iterations needs a larger momentum or no average. Switch
    # it off by
    #   default_hooks.ema=None
    ema=dict(type='EMAHook', momentum=2e-4, update_buffers=True),
    visualization=dict(type='VisualizationHook', enable=False),
)

# programs that draw outside of a run need a name
visualizer = dict(type='UniversalVisualizer', name='visualizer', vis_backends=_base_.vis_backends)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
