_base_ = '../../_base_/default_runtime.py'

default_scope = 'mmpretrain'

default_hooks = dict(
    checkpoint=dict(save_best='accuracy/top1'),
    visualization=dict(type='VisualizationHook', enable=False),
)

# programs that draw outside of a run need a name
visualizer = dict(type='UniversalVisualizer', name='visualizer', vis_backends=_base_.vis_backends)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
