"""Backbones that run with any form of the scan, and their comparison.

Needs mmengine; Swin needs mmdet.
"""

import contextlib
import copy
import importlib

import torch
from agreement import check, disagreement
from measure import nbytes, out_of_memory_as_none
from options import short
from peers import two_level

from sparx_mm import backbones
from sparx_mm.analysis.peers import PEERS as PEER_CONFIGS
from sparx_mm.compat import torchvision_stub
from sparx_mm.kernels import ss2d
from sparx_mm.mixers import SS2D

# before mmdet, because it may find a torchvision that does not load
torchvision_stub.install()

# images with which all forms are compared with float64
SMALL = (2, 3, 96, 96)
# maps, relative to the largest value of each, and gradients, to that of each
# tensor or to a part, the third number, of the largest of all: some are
# almost zero, such as those of a query's convolution, or of the bias before
# an attention, a sum that all but cancels. Rounding to 16 bits (2^-11, 2^-9)
# adds up over the layers to a few units in the maps; of the gradients' tensors
# it is the worst
TOLERANCES = {
    torch.float32: (1e-4, 1e-3, 1e-3),
    torch.float16: (1e-2, 6e-2, 1e-2),
    torch.bfloat16: (6e-2, 3e-1, 1e-2),
}


def build(arch, device, backbone='SparXMamba'):
    """Build a backbone from random weights, without drop path.

    Its running means never move, so that every call finds the same network.

    Args:
        arch (str): Name of the arch.
        device (torch.device): Device of the weights.
        backbone (str): Name of the class. Default: ``'SparXMamba'``.

    Returns:
        Module: The backbone.
    """
    torch.manual_seed(0)
    network = getattr(backbones, backbone)(arch, drop_path_rate=0.0).to(device)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.0
    return network


# what networks are compared with: configs by size and by library and name
PEERS = {
    size: {f'{cfg["type"].partition(".")[0]} {name}': cfg for name, cfg in peers.items()}
    for size, peers in PEER_CONFIGS.items()
}
SWIN = 'mmdet Swin-T'


def build_peer(size, name, device):
    """Build a network of another library, from random weights.

    Args:
        size (str): Key of ``PEERS``.
        name (str): Key of that size.
        device (torch.device): Device of the weights.

    Returns:
        tuple[Module or None, str]: The network, or why there is none.
    """
    cfg = dict(PEERS[size][name])
    library, _, class_name = cfg.pop('type').partition('.')
    try:
        models = importlib.import_module(f'{library}.models')
    # any exception: another library that is older or newer than it expects
    except Exception as error:
        return None, f'{library} does not import ({type(error).__name__}: {error})'
    torch.manual_seed(0)
    return getattr(models, class_name)(**cfg).to(device), ''


def list_names():
    """Return what `build_named` takes: ours as 'SparXMamba tiny', then the peers."""
    ours = [
        f'{family} {arch}'
        for family in backbones.__all__
        for arch in getattr(getattr(backbones, family), 'arch_zoo', ())
    ]
    return [*ours, *(name for size in PEERS.values() for name in size)]


def build_named(name, device):
    """Build a backbone of ours or another library.

    Args:
        name (str): One of `list_names`.
        device (torch.device): Device of the weights.

    Returns:
        tuple[Module or None, str]: The network, or why there is none.
    """
    for size, peers in PEERS.items():
        if name in peers:
            return build_peer(size, name, device)
    family, arch = name.split()
    return build(arch, device, family), ''


@contextlib.contextmanager
def scan_by(form):
    """Let all mixers scan by a form within this context."""
    own, SS2D.scan = SS2D.scan, staticmethod(form)
    try:
        yield
    finally:
        SS2D.scan = staticmethod(own)


def autocast(images, dtype):
    """Return a context of mixed precision for a 16-bit dtype, and an empty one for others.

    Args:
        images (Tensor): Images on the device of the context.
        dtype (torch.dtype): Dtype to compute in.

    Returns:
        ContextManager: The context.
    """
    if dtype in (torch.float16, torch.bfloat16):
        return torch.autocast(images.device.type, dtype)
    return contextlib.nullcontext()


def exact_float32():
    """Return a context in which convolutions do not round to TF32.

    They are timed with torch's default, which is TF32.
    """
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


class Step:
    """Inference, or forward and backward in training, of a network.

    The mode of the network is set here and must not change until the call. The
    gradient of each map is random and always the same, over the root of the
    number of positions: sums over positions stay in float16's range.

    Args:
        network (Module): Backbone.
        images (Tensor): Images of shape (B, 3, H, W), float32 or float64.
        dtype (torch.dtype): Dtype of autocast if it has 16 bits.
        training (bool): Train, do not only infer.
    """

    def __init__(self, network, images, dtype, training):
        # not chained, because mmdet's method returns None
        network.train(training)
        self.network, self.images = network, images
        self.dtype, self.training = dtype, training
        self.parameters = list(network.parameters())
        self.grads = []
        if training:
            with torch.no_grad():
                maps = self._maps()
            torch.manual_seed(0)
            self.grads = [
                # drawn in float32 for every dtype: the same numbers
                torch.randn(m.shape, device=m.device).to(m.dtype) * (m.numel() / m.shape[1]) ** -0.5
                for m in maps
            ]

    def _maps(self):
        with autocast(self.images, self.dtype):
            return list(self.network(self.images))

    def nbytes(self):
        """Sum the bytes of the tensors that the step starts from."""
        return nbytes(self.images, *self.parameters, *self.grads)

    def __call__(self, form=ss2d):
        """Take the step, scanning by a form.

        Returns:
            tuple[list[Tensor], list[Tensor]]: Maps, and when training the
            gradients of all parameters.
        """
        with scan_by(form), torch.set_grad_enabled(self.training):
            maps = self._maps()
            if not self.training:
                return maps, []
            return maps, list(torch.autograd.grad(maps, self.parameters, self.grads))


def disagreements(given, wanted, part):
    """Find the largest differences of maps and of gradients.

    Args:
        given (tuple[list[Tensor], list[Tensor]]): Results of a `Step` to judge.
        wanted (tuple[list[Tensor], list[Tensor]]): Results that they should equal.
        part (float): Part of the largest gradient, the least value that
            differences of gradients are relative to.

    Returns:
        list[float]: Differences of the maps and, if there are any, the gradients.
    """
    errors = [disagreement(given[0], wanted[0])]
    if wanted[1]:
        floor = part * max(g.abs().max() for g in wanted[1])
        errors.append(disagreement(given[1], wanted[1], floor))
    return errors


def check_network(what, given, wanted, dtype):
    """Raise Disagreement if maps or gradients differ too much.

    Args:
        what (str): Description of the comparison, for the message.
        given (tuple[list[Tensor], list[Tensor]]): Results of a `Step` to judge.
        wanted (tuple[list[Tensor], list[Tensor]]): Results that they should equal.
        dtype (torch.dtype): Key of ``TOLERANCES``.
    """
    *tolerances, part = TOLERANCES[dtype]
    for name, error, tolerance in zip(
        ('maps', 'gradients'), disagreements(given, wanted, part), tolerances
    ):
        check(f'{what} in {short(dtype)}: {name}', error, tolerance)


def check_small(forms, network, dtype, device):
    """Compare a network, with each form, with float64 on small images.

    Args:
        forms (dict[str, Form]): Forms by name.
        network (Module): Backbone.
        dtype (torch.dtype): Dtype of autocast if it has 16 bits.
        device (torch.device): Device of the network.
    """
    torch.manual_seed(0)
    images = torch.randn(SMALL, device=device)
    double = copy.deepcopy(network).double()
    for training in (False, True):
        with exact_float32():
            step = Step(double, images.double(), torch.float64, training)
            wanted = step(two_level)
            step = Step(network, images, dtype, training)
            for name, form in forms.items():
                check_network(f'{name} on {SMALL}', step(form.run), wanted, dtype)


def check_full(forms, step, length):
    """Compare the peers in a network with ss2d, as far as memory allows.

    Args:
        forms (dict[str, Form]): Forms by name.
        step (Step): Step that is going to be timed.
        length (int): Length of the longest sequence that the network scans.

    Returns:
        list[str]: Names of the forms that ran out of memory.
    """
    too_large = []
    with exact_float32():
        own = step()
        for name, form in forms.items():
            if form.takes(length, step.training):
                given = out_of_memory_as_none(lambda: step(form.run))
                if given is None:
                    too_large.append(name)
                    continue
                check_network(f'{name} on {tuple(step.images.shape)}', given, own, step.dtype)
    return too_large
