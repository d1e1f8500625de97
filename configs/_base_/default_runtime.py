# sparx_mm registers the backbones; sparx_mm.engine registers the hooks below and the transform that
# checks label maps, and reads checkpoints without running code in them
custom_imports = dict(imports=['sparx_mm', 'sparx_mm.engine'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # writes whole files, resumes exactly, and saves on SIGTERM, SIGUSR1 and Ctrl-C
    checkpoint=dict(type='SafeCheckpointHook', interval=1, max_keep_ckpts=3, save_best='auto'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # raises an error if weights do not cover the backbone
    coverage=dict(type='CoverageHook'),
    # stops before a step if a loss or the gradient norm is NaN or infinite
    finite=dict(type='FiniteHook'),
    # resumes optimizer state by the names of parameters
    resume=dict(type='ResumeHook'),
    # validates on two images before the first step, to find what would stop the first validation
    rehearsal=dict(type='RehearsalHook', num_images=2),
)
# Weights are not averaged. Evaluate and save their moving average (the weights themselves go into
# ema_state_dict) by
#   default_hooks.ema.type=EMAHook
# An image that cannot be trained on ends a run of tools/train.py in one line. Train without such
# images, which the log counts, by
#   skip_broken=True

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]

log_level = 'INFO'
load_from = None
resume = False
