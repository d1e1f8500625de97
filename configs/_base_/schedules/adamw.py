# What all schedules share; lr is for 16 images = 8 GPUs x 2. A
# switch named below is given to --cfg-options. tools/train.py --show-optim
# logs the rate and decay that each parameter gets.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    # gradients are not clipped; switch to clip the norm of all of them:
    #   optim_wrapper.clip_grad.max_norm=1.0
    constructor='LayerDecayOptimWrapperConstructor',
    # The official runs decayed A_log, D, the dt bias, batch norms and biases.
    # Mamba practice spares A_log and D, and Swin's recipe the norms and the
    # position biases; so do we. To train as the official runs did:
    # paramwise_cfg=None.
    # norm_decay_mult reaches every BN, GN and LN by its class, custom_keys
    # match parts of parameter names.
    paramwise_cfg=dict(
        # the rate of a layer over that of the next one, 1: the same for all;
        # switch to spare the lower layers of a trained backbone:
        #   optim_wrapper.paramwise_cfg.layer_decay_rate=0.8
        layer_decay_rate=1.0,
        norm_decay_mult=0.0,
        custom_keys={
            'A_log': dict(decay_mult=0.0),
            'mixer.D': dict(decay_mult=0.0),
            'relative_position_bias_table': dict(decay_mult=0.0),
        },
    ),
)

# Two images per GPU are too few for the backbone's batch norms, and the
# released weights were trained with SyncBN. mmengine converts them in
# distributed runs only; one device keeps plain BN.
sync_bn = 'torch'

# for another number of images; switch to multiply lr by their number over
# this one: auto_scale_lr.enable=True, or --auto-scale-lr
auto_scale_lr = dict(enable=False, base_batch_size=16)
