"""Position encodings, with which a layer may start."""

from .depthwise import ResidualDepthwiseConv


class DynamicPositionEncoding(ResidualDepthwiseConv):
    """Residual depthwise 3x3 convolution (DPE).

    Conditional positional encodings, https://arxiv.org/abs/2102.10882;
    paper section 3.1.

    Args:
        dim (int): Number of channels C.
    """
