"""Pictures of time and memory over the size of the images, or over the batch."""

from backbone import PASSES
from options import short
from report import mebibytes

from sparx_mm.errors import UserError


def rate(images, sample):
    """Return the images per second of a sample.

    Args:
        images (Input): Images that were given.
        sample (Sample): Result of timing.
    """
    return images.batch / sample.minimum * 1e3


def check_picture(path):
    """Raise UserError if no picture can be written to a path."""
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix[1:].lower() not in kinds:
        raise UserError(f'--plot {path}: the name must end in one of .{", .".join(kinds)}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        path.open('a').close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise UserError(f'--plot {path} cannot be written ({error.strerror})') from error


def draw(passes, path):
    """Draw time and memory over the size of the images; over the batch if there is one size.

    Args:
        passes (dict[bool, dict[Input, dict[str, Sample or None]]]): Samples by pass,
            input and network; None where memory did not suffice.
        path (Path): File to write, which `check_picture` has passed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.5), layout='constrained')
    rows = {
        'ms per image': lambda images, sample: 1e3 / rate(images, sample),
        'peak MiB': lambda images, sample: mebibytes(sample),
    }
    for line, (label, value) in zip(figure.subplots(2, 2), rows.items()):
        for axes, (training, samples) in zip(line, passes.items()):
            _draw_panel(axes, samples, value)
            axes.set(title=PASSES[training], ylabel=label)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=4, fontsize='small')
    figure.savefig(path, dpi=110)


def _draw_panel(axes, samples, value):
    """Draw a curve for each network, dtype and batch, where memory sufficed."""
    by_size = len({images[:2] for images in samples}) > 1

    def place(images):
        # the root of the pixels
        return (images.height * images.width) ** 0.5 if by_size else images.batch

    def variant(images):
        batch = [f'batch {images.batch}'] if by_size else []
        return ', '.join([*batch, short(images.dtype)])

    variants = list(dict.fromkeys(map(variant, samples)))
    for i, name in enumerate(next(iter(samples.values()))):
        for j, kind in enumerate(variants):
            points = sorted(
                (place(images), value(images, given[name]))
                for images, given in samples.items()
                if given[name] and variant(images) == kind
            )
            label = name if len(variants) == 1 else f'{name}, {kind}'
            style = ('-', '--', ':', '-.')[j % 4]
            x, y = zip(*points) if points else ((), ())
            axes.plot(x, y, style, color=f'C{i}', marker='o', markersize=3, label=label)
    places = sorted({place(images) for images in samples})
    axes.set(xscale='log', yscale='log', xlabel='side of the image' if by_size else 'batch')
    axes.set_xticks(places, [f'{n:.0f}' for n in places])
    axes.set_xticks([], minor=True)
    for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        which('{x:g}')
    axes.grid(alpha=0.3, which='both')
