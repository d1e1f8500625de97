# What all schedules share. lr is for 16 images = 8 GPUs x 2. Give the switches named below to
# --cfg-options. tools/train.py --show-optim logs each parameter's learning rate and decay.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    # Gradients are not clipped. Clip the norm of all of them by
    #   optim_wrapper.clip_grad.max_norm=1.0
    constructor='LayerDecayOptimWrapperConstructor',
    # A_log, D, norms, positions and directions are not decayed, as in Mamba's and Swin's practice, nor
    # are the scalars of weighted sums, because decay would take the maps themselves towards 0. The
    # official runs of SparX-Mamba decayed A_log, D, the dt bias, batch norms and biases, and those of
    # its detectors no norm; train the others as they did by optim_wrapper.paramwise_cfg=None. The official runs of VMamba decayed A_log and the dt bias, and
    # spared in classifiers D, norms and all biases, in detectors and segmentors only the norms of
    # layers and of outputs. Those of GroupMamba decayed A_log and the dt bias, and spared D, the scale
    # of a product before a norm (skip_scale), norms and all other biases. Those of PlainMamba spared
    # what is spared here, and in classifiers and detectors all biases too.
    # norm_decay_mult reaches every BN, GN, LN and RMSNorm by its class; custom_keys match parts of names.
    paramwise_cfg=dict(
        # Ratio of a layer's learning rate to that of the next layer; 1 gives all layers the same.
        # A lower one spares the lower layers of a trained backbone:
        #   optim_wrapper.paramwise_cfg.layer_decay_rate=0.8
        layer_decay_rate=1.0,
        norm_decay_mult=0.0,
        custom_keys={
            'A_log': dict(decay_mult=0.0),
            'mixer.D': dict(decay_mult=0.0),
            'scans.0.D': dict(decay_mult=0.0),
            'scans.1.D': dict(decay_mult=0.0),
            'mixer.skip_scale': dict(decay_mult=0.0),
            'mixer.direction_Bs': dict(decay_mult=0.0),
            'stem.pos_embed': dict(decay_mult=0.0),
            'stem.class_token': dict(decay_mult=0.0),
            'adapter.level_embed': dict(decay_mult=0.0),
            # scales of the injectors, from 0
            '.gamma': dict(decay_mult=0.0),
            'weighted_sum': dict(decay_mult=0.0),
            'relative_position_bias_table': dict(decay_mult=0.0),
        },
    ),
)

# SyncBN, because two images per GPU are too few for batch norms and SparX's released weights were
# trained with it. mmengine converts BN in distributed runs only; one device keeps plain BN.
sync_bn = 'torch'

# For another batch size, multiply lr by its ratio to this one by
#   auto_scale_lr.enable=True, or --auto-scale-lr, which is the same
auto_scale_lr = dict(enable=False, base_batch_size=16)
