_base_ = '../../_base_/default_runtime.py'

default_scope = 'mmseg'

default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    # other metrics than mIoU need save_best to name one of theirs, or None
    checkpoint=dict(by_epoch=False, interval=8000, save_best='mIoU'),
    visualization=dict(type='SegVisualizationHook'),
)

# browse_dataset of mmdet and mmseg builds it outside of a run, which needs a name
visualizer = dict(type='SegLocalVisualizer', name='visualizer', vis_backends=_base_.vis_backends)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=False)

# --tta averages the classes' probabilities over tta_pipeline
tta_model = dict(type='SegTTAModel')
