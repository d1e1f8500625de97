"""The polynomial that the kernels make softplus from, without a logarithm."""

# log1p(w) / w on [0, 1], minimax for relative error, lowest power first. It
# is exactly 1 at 0, else a long scan would drift; in float32 it errs by less
# than 2e-7
LOG1P = (
    1.0,
    -0.4999990165233612,
    0.3332996368408203,
    -0.24954132735729218,
    0.19675931334495544,
    -0.15305569767951965,
    0.10603617131710052,
    -0.056959159672260284,
    0.019851261749863625,
    -0.0032439809292554855,
)
