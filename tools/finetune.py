"""Fine-tune a model on your own data: python tools/finetune.py --task TASK --images DIR."""

import openmp  # noqa: F401

from sparx_mm.errors import user_errors
from sparx_mm.finetuning import finetune
from sparx_mm.finetuning.cli import finetune_parser, print_outcome


@user_errors()
def main():
    args = vars(finetune_parser().parse_args())
    print_outcome(finetune(**args))


if __name__ == '__main__':
    main()
