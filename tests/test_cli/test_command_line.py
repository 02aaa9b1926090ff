"""``simipu COMMAND``, ``python -m simipu COMMAND`` and the scripts of tools/ are one command line."""
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import simipu
from simipu import cli

TOOLS = sorted((Path(__file__).resolve().parents[2] / 'tools').glob('*.py'))


def shown_help(capsys, run, *arguments) -> str:
    with pytest.raises(SystemExit) as exit_info:
        run(*arguments)
    assert exit_info.value.code == 0
    return capsys.readouterr().out


def test_help_lists_every_command(capsys):
    words = ' '.join(shown_help(capsys, cli.main, ['--help']).split())
    for name, module in cli.COMMANDS.items():
        summary = module.__doc__.split('\n')[0].rstrip('.')
        assert f' {name} {summary}' in words


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_help_of_a_command_has_examples_and_flags(name, capsys):
    text = shown_help(capsys, cli.main, [name, '--help'])
    assert text.startswith(f'usage: simipu {name} ')
    assert cli.COMMANDS[name].__doc__.split('\n')[0] in text
    assert '%(prog)s' not in text and '\npositional arguments:' in text


def test_every_command_has_a_tool_and_every_tool_its_own_command(capsys, monkeypatch):
    names = []
    for tool in TOOLS:
        monkeypatch.setattr(sys, 'argv', [str(tool), '--help'])
        text = shown_help(capsys, lambda path: runpy.run_path(path, run_name='__main__'), str(tool))
        names.append(text.split()[2])
    assert sorted(names) == sorted(cli.COMMANDS)


def test_a_missing_command_is_told(capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main([])
    assert exit_info.value.code == 2 and 'COMMAND' in capsys.readouterr().err


def test_package_runs_as_a_module():
    done = subprocess.run([sys.executable, '-m', 'simipu', 'train', 'missing.py'], capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=str(Path(simipu.__file__).parents[1])))
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith('error: no config file missing.py')
