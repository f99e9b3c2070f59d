"""The command line: ``python -m sklearn_bell demo``."""

import argparse

import matplotlib

from sklearn_bell import demo


def main(arguments=None):
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m sklearn_bell", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("demo", help="pretrain without labels, then classify with few")
    one.add_argument("--data", help="folder of PTB-XL; by default synthetic ECGs are made")
    one.add_argument("--picture", default="demo.png", help="where to write the picture")
    options = parser.parse_args(arguments)
    matplotlib.use("Agg")  # the picture goes to a file, screen or not
    demo.main(options.data, options.picture)


if __name__ == "__main__":
    main()
