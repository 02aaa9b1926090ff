"""The command line: ``simipu COMMAND``, and the scripts of ``tools/`` in a checkout.

Every command is a module here: its docstring is the help, ``add_arguments(parser)`` declares the flags, and
``main(args)`` does the work and returns the exit code, or ``None`` for 0.
"""
import io
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib import import_module

from .. import __doc__ as DESCRIPTION
from .. import __version__
from ..engine import launch

COMMANDS = {
    'create-data': 'write the info files of a data set, or generate one',
    'check-dataset': 'check files, sizes, time stamps and calibration of a data set',
    'browse': 'draw frames as the model will see them',
    'train': 'train what a config describes',
    'test': 'evaluate a checkpoint',
    'compare': 'print the metrics of two evaluations side by side',
    'visualize': 'draw what a checkpoint has learnt, or the curves of a training',
    'export': 'write the image backbone of a checkpoint as a file that any detector loads',
    'verify': 'report which tensors of a detector a file of weights fills',
    'convert': 'convert weights to the layouts of other libraries',
    'transfer': 'measure how well depth can be read from frozen and fine-tuned backbones',
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; ends the program where it fails, with a user's mistake as its message alone.

    Args:
        argv: The name of a command and its arguments; those of the program by default.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')  # names in files may be no Unicode
    argv = sys.argv[1:] if argv is None else argv
    name = _parser().parse_args(argv[:1]).command
    command = import_module(f'.{name.replace("-", "_")}', __package__)  # alone, since some take seconds to import
    parser = ArgumentParser(prog=f'simipu {name}', description=command.__doc__,
                            formatter_class=RawDescriptionHelpFormatter)
    command.add_arguments(parser)
    args = parser.parse_args(argv[1:])
    status = launch.run(lambda: command.main(args))
    if status:
        sys.exit(status)


def _parser() -> ArgumentParser:
    commands = '\n'.join(f'  {name:14} {summary}' for name, summary in COMMANDS.items())
    parser = ArgumentParser(prog='simipu', usage='simipu COMMAND [arguments]', description=DESCRIPTION,
                            epilog=f'commands:\n{commands}\n\nsimipu COMMAND --help shows the arguments of a command.',
                            formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument('--version', action='version', version=f'simipu {__version__}')
    parser.add_argument('command', choices=COMMANDS, metavar='COMMAND', help='one of the commands below')
    return parser
