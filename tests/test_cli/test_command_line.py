"""``simipu COMMAND``, ``python -m simipu COMMAND`` and the scripts of tools/ are one command line."""
import contextlib
import logging
import os
import runpy
import subprocess
import sys
from argparse import Namespace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config

import simipu
from simipu import cli
from simipu.cli import train

TOOLS = sorted(tool for tool in (Path(__file__).resolve().parents[2] / 'tools').glob('*.py')
               # Parts of shell scripts, and another way to start tools/train.py.
               if tool.name not in ('torchrun.py', 'precompile_torch.py', 'ray_train.py'))


def shown_help(capsys, run, *arguments) -> str:
    with pytest.raises(SystemExit) as exit_info:
        run(*arguments)
    assert exit_info.value.code == 0
    return capsys.readouterr().out


def test_help_lists_every_command(capsys):
    words = ' '.join(shown_help(capsys, cli.main, ['--help']).split())
    for name, summary in cli.COMMANDS.items():
        assert f' {name} {summary}' in words


def test_the_version_can_be_asked(capsys):
    assert shown_help(capsys, cli.main, ['--version']) == f'simipu {simipu.__version__}\n'


def test_every_module_is_a_command():
    modules = {path.stem for path in Path(cli.__file__).parent.glob('*.py')} - {'__init__'}
    assert modules == {name.replace('-', '_') for name in cli.COMMANDS}


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_help_of_a_command_has_examples_and_flags(name, capsys):
    text = shown_help(capsys, cli.main, [name, '--help'])
    assert text.startswith(f'usage: simipu {name} ')
    module = import_module(f'simipu.cli.{name.replace("-", "_")}')
    assert module.__doc__.split('\n')[0] in text
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


@pytest.mark.parametrize('rank', [0, 1])
def test_one_process_alone_writes_the_metrics(rank, tmp_path, monkeypatch):
    from simipu.cli import test
    cfg = Config(dict(launcher='pytorch', model={}, test_dataloader={}, test_cfg={}, test_evaluator={}))
    monkeypatch.setenv('RANK', str(rank))
    monkeypatch.setattr(test.launch, 'load_config', lambda args: cfg)
    monkeypatch.setattr(test.launch, 'build_runner', lambda cfg, strict: SimpleNamespace(test=lambda: {'a/b': 1.5}))
    test.main(Namespace(out=str(tmp_path / 'metrics.json'), checkpoint=None))
    assert [path.name for path in tmp_path.iterdir()] == ['metrics.json'] * (rank == 0)


@pytest.mark.parametrize('content, message', [
    (b'[1]', 'expected metrics by name'), (b'{"a/b": "x"}', "a/b: expected a number, found 'x'"),
    (b'\x80\x04N.', 'JSON'),
    (b'a/b: !!python/object/apply:os.getcwd []', 'JSON'), (b'{"a/b": 1e999}', 'expected a number'), (b'', 'JSON'),
    (b'{"time": 1}', 'no metric is in both')])
def test_compare_takes_json_of_numbers_only(content, message, tmp_path):
    (tmp_path / 'sound.json').write_text('{"a/b": 1.5}')
    (tmp_path / 'a.pkl').write_bytes(content)
    with pytest.raises(SystemExit, match=f'^error: .*{message}'):
        cli.main(['compare', str(tmp_path / 'sound.json'), str(tmp_path / 'a.pkl')])


@pytest.mark.parametrize('words', [
    ['export', 'CHECKPOINT', 'CHECKPOINT'], ['convert', 'CHECKPOINT', 'CHECKPOINT', '--to', 'mmdet'],
    ['export', 'CHECKPOINT', 'FOLDER'], ['test', 'x.py', '--out', 'FOLDER'],
    ['transfer', 'x.py', '--out', 'CHECKPOINT'],
    ['visualize', 'x.py', '--out-dir', 'CHECKPOINT/inside'], ['check-dataset', 'x.py', '--json', 'FOLDER']])
def test_places_that_cannot_be_written_are_told_first(words, tmp_path, capsys):
    (tmp_path / 'a.pth').write_text('precious')
    places = dict(CHECKPOINT=tmp_path / 'a.pth', FOLDER=tmp_path)
    with pytest.raises(SystemExit) as info:
        cli.main([_placed(word, places) for word in words])
    said = f'{info.value.code}{capsys.readouterr().err}'
    assert 'error: ' in said and str(tmp_path) in said
    assert (tmp_path / 'a.pth').read_text() == 'precious'


def _placed(word, places):
    for name, place in places.items():
        word = word.replace(name, str(place))
    return word


def test_package_runs_as_a_module():
    done = subprocess.run([sys.executable, '-m', 'simipu', 'train', 'missing.py'], capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=str(Path(simipu.__file__).parents[1])))
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith('error: no config file missing.py')


def test_importing_the_package_is_cheap():
    """Libraries that take seconds to import are imported where something of them is used."""
    code = ("import simipu.cli, sys; print({'matplotlib', 'nuscenes', 'spconv', 'mmdet.models', 'mmdet3d.models', "
            "'numba'} & set(sys.modules))")
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=str(Path(simipu.__file__).parents[1])))
    assert done.stdout == 'set()\n', done.stderr


def test_types_are_registered_when_a_registry_is_first_asked():
    """Also where mmdet3d's registries were used before this package is imported."""
    code = """
from mmdet3d.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS
assert MODELS.get('PointNet2SAMSG')
import simipu
for registry, name in ((MODELS, 'SimIPU'), (DATASETS, 'PairedDataset'), (TRANSFORMS, 'PackPairedInputs'),
                       (METRICS, 'DepthProbeMetric'), (HOOKS, 'ResumeHook')):
    assert registry.get(name).__module__.startswith('simipu.'), name
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=str(Path(simipu.__file__).parents[1])))
    assert done.returncode == 0, done.stderr


def test_a_training_outlives_who_reads_its_output():
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, 'w') as stream:
        handler = logging.StreamHandler(stream)
        handler.handleError = partial(train._handle_error, handler)
        for _ in range(2):
            handler.emit(logging.makeLogRecord(dict(msg='iteration 1')))


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='of Linux')
def test_a_training_ends_where_its_log_cannot_be_written():
    with contextlib.suppress(OSError), open('/dev/full', 'w') as stream:  # which cannot be closed, either
        for handler in (logging.FileHandler('/dev/full'), logging.StreamHandler(stream)):
            handler.handleError = partial(train._handle_error, handler)
            with pytest.raises(OSError, match='No space'):
                handler.emit(logging.makeLogRecord(dict(msg='iteration 1')))
