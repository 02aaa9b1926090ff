"""The command line: ``simipu COMMAND``, and the scripts of ``tools/`` in a checkout.

Every command is a module here: its docstring is the help, ``add_arguments(parser)`` declares the flags, and
``main(args)`` does the work and returns the exit code, or ``None`` for 0.
"""
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

from .. import __doc__ as DESCRIPTION
from ..engine import launch
from . import (
    browse,
    check_dataset,
    compare,
    convert,
    create_data,
    export,
    test,
    train,
    transfer,
    verify,
    visualize,
)

COMMANDS = {
    'create-data': create_data, 'check-dataset': check_dataset, 'browse': browse, 'train': train, 'test': test,
    'visualize': visualize, 'export': export, 'verify': verify, 'convert': convert, 'transfer': transfer,
    'compare': compare,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; ends the program where it fails, with a user's mistake as its message alone.

    Args:
        argv: The name of a command and its arguments; those of the program by default.
    """
    args = build_parser().parse_args(argv)
    status = launch.run(lambda: args.main(args))
    if status:
        sys.exit(status)


def build_parser() -> ArgumentParser:
    """The parser of all commands; ``main`` in its result is the function of the command."""
    parser = ArgumentParser(prog='simipu', description=DESCRIPTION)
    commands = parser.add_subparsers(title='commands', metavar='COMMAND', required=True)
    for name, module in COMMANDS.items():
        help_line = module.__doc__.split('\n')[0].rstrip('.')
        command = commands.add_parser(name, help=help_line, description=module.__doc__,
                                      formatter_class=RawDescriptionHelpFormatter)
        module.add_arguments(command)
        command.set_defaults(main=module.main)
    return parser
