# 1.6 M parameters for 128 px images on a CPU; stages 1, 2 and 3 have ganglion layers, as in the
# full sizes
embed_dims = [32, 64, 96, 128]
backbone = dict(
    type='SparXMamba',
    arch=dict(
        embed_dims=embed_dims,
        depths=(2, 2, 3, 2),
        connections=dict(
            strides=(1, 1, 2, 1), starts=(None, 1, 0, 0), windows=(None, None, 3, None)
        ),
    ),
)
# no layers are dropped, because the runs are too short to overfit
drop_path = dict(det=0.0, seg=0.0)
