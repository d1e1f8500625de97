_base_ = '../../_base_/default_runtime.py'

default_scope = 'mmdet'

default_hooks = dict(visualization=dict(type='DetVisualizationHook'))

# has no name, because each run in a process then has its own, in its own folder
visualizer = dict(type='DetLocalVisualizer', vis_backends=_base_.vis_backends)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
