"""Convert a checkpoint's names and format: python tools/convert_checkpoint.py SRC DST."""

import openmp  # noqa: F401

from sparx_mm.checkpoint_io import convert_checkpoint, trust_checkpoints
from sparx_mm.checkpoint_io.convert import LAYOUTS
from sparx_mm.errors import user_errors
from sparx_mm.run import ArgumentParser


def parse_args():
    parser = ArgumentParser(
        description='Convert a checkpoint between the names of this project '
        'and those of the released files, and between .pth and .safetensors'
    )
    parser.add_argument(
        'source', help='file, https URL or sparx_mm://MODEL to read, with own or released names'
    )
    parser.add_argument('target', help='file to write, .pth or .safetensors; must be new')
    parser.add_argument(
        '--to',
        choices=list(LAYOUTS),
        default='own',
        help='names to write; mmpretrain, mmseg: own names, and a released ImageNet '
        'classifier or VM-UNet as a model of that library; default: own',
    )
    parser.add_argument(
        '--publish',
        action='store_true',
        help='write the weights and what they mean alone, without optimizer and settings of the '
        'run, to TARGET with 8 digits of its SHA-256 in the name',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read the file as a plain pickle, which runs what is in it',
    )
    return parser.parse_args()


@user_errors()
def main():
    args = parse_args()
    with trust_checkpoints(args.trust_checkpoint):
        print(convert_checkpoint(args.source, args.target, args.to, args.publish))


if __name__ == '__main__':
    main()
