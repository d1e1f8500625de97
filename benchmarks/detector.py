"""Time a whole detector: Mask R-CNN on SparX-Mamba-T, and the same on mmdet's Swin-T.

    python benchmarks/detector.py [--device cpu] [--size 800x1333] [--help]

Inference, and a training step: losses and the gradients of all parameters, without
an optimizer. Both detectors have the neck, heads and settings of
configs/mmdet/mask_rcnn_sparx_t_3x.py, random weights, and the same images of noise
with eight objects. No box of such a detector passes the score threshold, so inference
makes no masks.
"""

from pathlib import Path

import torch
from backbone import PASSES, import_networks
from measure import Call, clock, compare, nbytes
from options import make_parser, parse
from report import Report, against_cells, header, number, progress, table, time_cells

from sparx_mm.analysis.peers import PEERS
from sparx_mm.errors import UserError, user_errors

CONFIG = Path(__file__).resolve().parents[1] / 'configs/mmdet/mask_rcnn_sparx_t_3x.py'
OWN, SWIN = 'SparX-Mamba-T', 'mmdet Swin-T'
# of its maps
SWIN_CHANNELS = [96, 192, 384, 768]
SIZES = ((320, 480), (800, 1333))
NUM_OBJECTS = 8
PARTS = ('backbone', 'neck')
TIMED = (*PARTS, 'heads', 'backward')
COLUMNS = ('detector', 'ms', 'median', *TIMED, 'peak MiB', 'x time', 'x memory')


def build(name, device):
    """Build a detector from random weights.

    Args:
        name (str): ``OWN`` or ``SWIN``.
        device (torch.device): Device of the weights.

    Returns:
        Module: The detector.
    """
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.config import Config

    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(CONFIG).model
    cfg.backbone.init_cfg = None
    if name == SWIN:
        cfg.backbone = dict(PEERS['tiny']['Swin-T'])
        cfg.neck.in_channels = SWIN_CHANNELS
    torch.manual_seed(0)
    detector = MODELS.build(cfg).to(device)
    detector.init_weights()
    return detector


def make_batch(detector, images, training):
    """Draw images of noise with objects, and prepare them as the detector does.

    Args:
        detector (Module): Detector, which decides about device and padding.
        images (Input): Their size, number and dtype.
        training (bool): They are for a training step.

    Returns:
        dict: ``inputs`` and ``data_samples``.
    """
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    torch.manual_seed(0)
    height, width = images.height, images.width
    samples = []
    for _ in range(images.batch):
        starts = torch.rand(NUM_OBJECTS, 2) * torch.tensor([width * 0.7, height * 0.7])
        sides = torch.rand(NUM_OBJECTS, 2) * torch.tensor([width * 0.2, height * 0.2]) + 16
        boxes = torch.cat([starts, starts + sides], 1)
        masks = torch.zeros(NUM_OBJECTS, height, width, dtype=torch.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist()):
            mask[top:bottom, left:right] = 1
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0)
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=boxes,
            labels=torch.arange(NUM_OBJECTS) % 3,
            masks=BitmapMasks(masks.numpy(), height, width),
        )
        samples.append(sample)
    noise = torch.randint(0, 256, (images.batch, 3, height, width), dtype=torch.uint8)
    return detector.data_preprocessor(dict(inputs=list(noise), data_samples=samples), training)


class Step:
    """Inference, or losses and gradients, of a detector; it keeps the times of the parts.

    Args:
        detector (Module): Detector.
        images (Input): Images that it is given.
        training (bool): Train, do not only infer.
    """

    def __init__(self, detector, images, training):
        self.detector, self.training = detector.train(training), training
        self.batch = make_batch(detector, images, training)
        self.parameters = [p for p in detector.parameters() if p.requires_grad]
        # milliseconds of each call, by part
        self.times = {name: [] for name in TIMED}

    def _start(self):
        self.started = self._read_clock()

    def _stop(self, name):
        now = self._read_clock()
        self.times[name].append((now - self.started) * 1e3)
        self.started = now

    def _read_clock(self):
        device = self.batch['inputs'].device
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        return clock(device)

    def timed(self, repeats):
        """Return the milliseconds of each part, of the last calls."""
        return [times[-repeats:] for times in self.times.values()]

    def nbytes(self):
        """Sum the bytes of the tensors that the step starts from."""
        return nbytes(self.batch['inputs'], *self.parameters)

    def __call__(self):
        handles = []
        for name in PARTS:
            part = getattr(self.detector, name)
            handles.append(part.register_forward_pre_hook(lambda *_: self._start()))
            handles.append(part.register_forward_hook(lambda *_, name=name: self._stop(name)))
        self._run()
        for handle in handles:
            handle.remove()

    def _run(self):
        if not self.training:
            with torch.no_grad():
                self.detector(**self.batch, mode='predict')
            self._stop('heads')
            return
        losses = self.detector(**self.batch, mode='loss')
        loss, _ = self.detector.parse_losses(losses)
        self._stop('heads')
        # the samplers may take no object, whose head then has no gradient
        torch.autograd.grad(loss, self.parameters, allow_unused=True)
        self._stop('backward')


def detector_rows(detectors, images, training, args):
    """Time the detectors on one input, in one pass.

    Args:
        detectors (dict[str, Module]): Detectors by name.
        images (Input): Images that they are given.
        training (bool): Time a training step, not inference.
        args (Namespace): Command line.

    Returns:
        list[list[str]]: A row for each detector.
    """
    steps = {name: Step(detector, images, training) for name, detector in detectors.items()}
    calls = {name: Call(step, step.nbytes()) for name, step in steps.items()}
    samples = compare(calls, args.device, args.repeats)
    return [
        [
            name,
            *time_cells(sample),
            *(number(min(t)) if sample and t else '' for t in steps[name].timed(args.repeats)),
            *against_cells(sample, samples[SWIN]),
        ]
        for name, sample in samples.items()
    ]


@user_errors()
def main():
    parser = make_parser('Time Mask R-CNN on SparX-Mamba-T and on Swin-T', False)
    parser.set_defaults(repeats=5, size=SIZES, dtype=['float32'])
    args = parse(parser)
    if any(images.dtype != torch.float32 for images in args.inputs):
        raise UserError('--dtype: detectors are timed in float32 alone')
    # for the torchvision that mmdet imports
    import_networks()
    try:
        detectors = {name: build(name, args.device) for name in (OWN, SWIN)}
    except ImportError as error:
        raise UserError(f'detectors cannot be built here: {error}') from error
    report = Report(args.output)
    report.add(header('Whole detectors', args, f'a detector over that on {SWIN}'))
    for images in args.inputs:
        for training, title in PASSES.items():
            progress(f'{images}: {title}')
            rows = detector_rows(detectors, images, training, args)
            report.add(f'## {images}, {title}\n\n{table(COLUMNS, rows)}')


if __name__ == '__main__':
    main()
