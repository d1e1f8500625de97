_base_ = '../../_base_/default_runtime.py'

default_scope = 'mmrotate'

default_hooks = dict(visualization=dict(type='mmdet.DetVisualizationHook'))

# programs that draw outside of a run need a name
visualizer = dict(type='RotLocalVisualizer', name='visualizer', vis_backends=_base_.vis_backends)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
