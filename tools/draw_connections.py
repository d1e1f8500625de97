"""Draw which layers read which: python tools/draw_connections.py CONFIG."""

import openmp  # noqa: F401

from sparx_mm.analysis import connection_graph, draw_connections, load_model, write_figure
from sparx_mm.errors import user_errors
from sparx_mm.run import ArgumentParser, add_cfg_options


def parse_args():
    parser = ArgumentParser(
        description='Draw the layers of a backbone and which of them read which. '
        'Nothing is computed and no weights are read'
    )
    parser.add_argument('config', help='config file, or the name of a backbone: SparXMamba')
    parser.add_argument(
        '--out',
        default='connections.png',
        help='file of the picture, .png or .svg; default: connections.png',
    )
    add_cfg_options(
        parser, help='override settings of the config, or arguments of the backbone (arch=small)'
    )
    return parser.parse_args()


@user_errors()
def main():
    args = parse_args()
    model, _ = load_model(args.config, args.cfg_options)
    graph = connection_graph(model)
    write_figure(args.out, draw_connections(graph))
    layers = [kind for stage in graph for kind in stage.kinds]
    print(
        f'{args.out}: {len(layers)} layers, {layers.count("ganglion")} '
        f'ganglions, {sum(len(stage.edges) for stage in graph)} arcs'
    )


if __name__ == '__main__':
    main()
