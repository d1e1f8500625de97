_base_ = '../../_base_/default_runtime.py'

default_scope = 'mmdet'

default_hooks = dict(visualization=dict(type='DetVisualizationHook'))

# browse_dataset of mmdet and mmseg builds it outside of a run, which needs a name
visualizer = dict(type='DetLocalVisualizer', name='visualizer', vis_backends=_base_.vis_backends)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
