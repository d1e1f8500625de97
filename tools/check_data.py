"""Check the data sets of a config: python tools/check_data.py CONFIG [options]."""

import openmp  # noqa: F401

from sparx_mm.data_checks.report import (
    clean_options,
    format_reports,
    report_data,
    write_clean,
)
from sparx_mm.errors import UserError, user_errors
from sparx_mm.run import ArgumentParser, add_cfg_options, load_config, show_progress
from sparx_mm.run.preflight import check_packages


def parse_args():
    parser = ArgumentParser(
        description='Load every image and annotation of the data sets of a config, and print '
        'their sizes, classes and faults; the exit status is 1 if there is a fault'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--skip-broken',
        action='store_true',
        help='write NAME.clean.json (or .txt) beside an annotation file in the format of COCO, or '
        'a list of images, without the broken ones, and with new ids for annotations that differ '
        'and have one id. Sets without such a file are only reported',
    )
    add_cfg_options(parser)
    return parser.parse_args()


@user_errors()
def main():
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    check_packages(cfg)
    reports = report_data(cfg, show_progress)
    print(format_reports(reports))
    faulty = [report for report in reports if report.faults]
    for report in faulty if args.skip_broken else ():
        path = write_clean(report, cfg.get('default_scope'))
        if path is None:
            print(f'{report.key}: nothing is written; put these faults right by hand')
        else:
            keys = [report.key, *(r.key for r in reports if r.same_as == report.key)]
            options = ' '.join(clean_options(cfg, keys, path))
            print(f'written: {path}; use it with --cfg-options {options}')
            new = sum(fault.renumber for fault in report.faults)
            if new:
                print(f'{report.key}: annotations with new ids in it: {new}')
            left = sum(fault.part is None for fault in report.faults)
            if left:
                print(f'{report.key}: {left} faults are left in it; put them right by hand')
    if faulty:
        total = sum(len(report.faults) for report in faulty)
        raise UserError(f'faults in {len(faulty)} of {len(reports)} data sets: {total}')


if __name__ == '__main__':
    main()
