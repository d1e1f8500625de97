_base_ = '../../_base_/default_runtime.py'

default_scope = 'mmdet'

default_hooks = dict(visualization=dict(type='DetVisualizationHook'))

# without a name, because then each run of a process has a visualizer and folder of its own
visualizer = dict(type='DetLocalVisualizer', vis_backends=_base_.vis_backends)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
