"""Arguments for the four-direction scan, and comparison of its forms on them."""

import torch
from agreement import check, disagreement, evaluate
from measure import out_of_memory_as_none
from options import short
from peers import two_level

from sparx_mm.kernels import ss2d

# map with which all forms are compared with float64, with the channels of a stage
SMALL = dict(batch=2, height=9, width=13)
# of the largest value of each tensor. float32: sums of some hundred terms in
# another order. 16 bits: half a unit is 2^-11 (float16) and 2^-9 (bfloat16),
# and the unfused forms round delta, four outputs and their sums to it
TOLERANCES = {
    torch.float32: 1e-5,
    torch.bfloat16: 2e-2,
    torch.float16: 3e-3,
}
# full maps, two forms: the parameters' gradients are sums over up to half a
# million positions, and in 16 bits both forms round
FULL_TOLERANCES = {
    torch.float32: 1e-4,
    torch.bfloat16: 3e-2,
    torch.float16: 4e-3,
}


def make_inputs(batch, dim, height, width, dtype, device, state=1):
    """Draw arguments of one layer's scan, at initialisation's magnitudes.

    Args:
        batch, dim, height, width (int): Size of the layer's map; the layer scans
            twice as many channels.
        dtype (torch.dtype): Dtype of x and dt_B_C.
        device (torch.device): Device of the tensors; x is channels-last, as the
            backbone leaves it.
        state (int): Number of states N. Default: 1.

    Returns:
        tuple[list[Tensor], Tensor]: The arguments of ss2d, which require
        gradients, and a gradient of its output.
    """
    channels, rank = 2 * dim, -(-dim // 16)
    torch.manual_seed(0)
    with device:
        maps = (
            torch.randn(batch, channels, height, width),
            torch.randn(batch, height, width, 4, rank + 2 * state),
        )
        parameters = (
            (torch.rand(4, channels, rank) * 2 - 1) * rank**-0.5,
            # the inverse softplus of 0.001 to 0.1
            torch.empty(4, channels).uniform_(-6.9, -2.25),
            -torch.ones(4, channels, state),
            torch.ones(4, channels),
        )
        x, dt_B_C = maps
        maps = x.contiguous(memory_format=torch.channels_last), dt_B_C
        dy = torch.randn_like(maps[0]).to(dtype)
    inputs = [*(t.to(dtype) for t in maps), *parameters]
    return [t.requires_grad_() for t in inputs], dy


def truth(inputs, dy, orders='cross'):
    """Compute output and gradients in float64, image by image to save memory.

    Args:
        inputs (list[Tensor]): Arguments of ss2d.
        dy (Tensor): Gradient of its output.
        orders (str): Orders of its directions. Default: ``'cross'``.

    Returns:
        list[Tensor]: The output, then the gradients.
    """
    x, dt_B_C, *parameters = (t.detach().double() for t in inputs)
    images = []
    for image in zip(x.split(1), dt_B_C.split(1), dy.split(1)):
        arguments = [*image[:2], *parameters]
        arguments = [t.detach().requires_grad_() for t in arguments]
        images.append(evaluate(lambda *t: two_level(*t, orders), arguments, image[2:]))
    y, dx, ddt_B_C, *rest = zip(*images)
    return [*map(torch.cat, (y, dx, ddt_B_C)), *map(sum, rest)]


def run_form(form, inputs, dy, backward):
    """Compute the output of a form, and gradients if they are wanted.

    Args:
        form (Form): Form of the scan.
        inputs (list[Tensor]): Arguments of ss2d.
        dy (Tensor): Gradient of its output.
        backward (bool): Compute the gradients too.

    Returns:
        list[Tensor]: The output, then the gradients.
    """
    if backward:
        return evaluate(form.run, inputs, [dy])
    with torch.no_grad():
        return [form.run(*inputs)]


def check_small(forms, dim, dtype, device, orders='cross', state=1):
    """Compare forms with float64 on a small map of a stage's channels.

    Args:
        forms (dict[str, Form]): Forms by name.
        dim (int): Channels of the stage; its layers scan twice as many.
        dtype (torch.dtype): Dtype of x and dt_B_C.
        device (torch.device): Device of the tensors.
        orders (str): Orders of the directions. Default: ``'cross'``.
        state (int): Number of states N. Default: 1.
    """
    inputs, dy = make_inputs(dim=dim, dtype=dtype, device=device, state=state, **SMALL)
    wanted = truth(inputs, dy, orders)
    for name, form in forms.items():
        error = disagreement(evaluate(form.run, inputs, [dy]), wanted)
        check(f'{name} with {2 * dim} channels in {short(dtype)}', error, TOLERANCES[dtype])


def check_full(forms, inputs, dy, own=ss2d):
    """Compare peers with ss2d, as far as their lengths and memory allow.

    Args:
        forms (dict[str, Form]): Forms by name.
        inputs (list[Tensor]): Arguments of ss2d.
        dy (Tensor): Gradient of its output.
        own (Callable): What they are compared with. Default: ss2d along rows and columns.

    Returns:
        list[str]: Names of the forms that ran out of memory.
    """
    too_large = []
    wanted = evaluate(own, inputs, [dy])
    length = dy[0, 0].numel()
    for name, form in forms.items():
        backward = form.takes(length, backward=True)
        if form.takes(length):
            given = out_of_memory_as_none(lambda: run_form(form, inputs, dy, backward))
            if given is None:
                too_large.append(name)
                continue
            error = disagreement(given, wanted[: len(given)])
            check(
                f'{name} on {tuple(dy.shape)} in {short(dy.dtype)}',
                error,
                FULL_TOLERANCES[dy.dtype],
            )
    return too_large
