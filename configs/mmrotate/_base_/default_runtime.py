_base_ = '../../_base_/default_runtime.py'

default_scope = 'mmrotate'

default_hooks = dict(visualization=dict(type='mmdet.DetVisualizationHook'))

# without a name: each run in a process has its own, in its own folder
visualizer = dict(type='RotLocalVisualizer', vis_backends=_base_.vis_backends)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
