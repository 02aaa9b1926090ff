"""The pages: links lead somewhere, Python blocks run, and command lines are ones that the tools take.

A block that cannot run here is marked in the line before it, in a comment that the reader does not see:
``<!-- test: skip because REASON -->``, or ``<!-- test: compile only because REASON -->``, which imports what the block
imports and checks its syntax. Python blocks of a page run in order and share their names, as a reader would type them.
"""
import argparse
import ast
import importlib
import os
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import mmengine
import pytest
from mmdet3d import registry as registries
from mmengine.config import Config
from mmengine.registry import Registry

from simipu.config import check_config
from simipu.engine import launch
from simipu.scenes import generate_dataset

PROJECT = Path(__file__).resolve().parents[1]
PAGES = sorted(path.relative_to(PROJECT).as_posix()
               for pattern in ('*.md', 'docs/**/*.md', 'configs/**/*.md') for path in PROJECT.glob(pattern))

FENCE = re.compile(r'(?:^<!-- test: (?P<mode>skip|compile only) because (?P<reason>[^>]+) -->\n+)?'
                   r'^```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)')
INLINE_COMMAND = re.compile(r'`((?:python |bash )?(?:tools|benchmarks)/\w+\.(?:py|sh)\s[^`]+|simipu [a-z-]+ [^`]+)`')
PROJECT_PATH = re.compile(r'`((?:configs|docs|projects|tools|tests|benchmarks|requirements)/[\w./-]+)`')
ASSIGNMENT = re.compile(r'([A-Z_]+)=(.*)', re.DOTALL)
# What a reader has from the system, and whose options are no matter of this project.
SYSTEM_COMMANDS = set('apt-get cat cd cp docker export git ls mkdir mim pip pre-commit pytest python python3.10 '
                      'python3.11 ruff source tensorboard'.split())


class Block(NamedTuple):
    language: str
    code: str
    line: int
    mode: str | None


class Parsed(BaseException):
    """Carries the arguments out of a tool that has parsed them, past all ``except Exception``."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments


def blocks(text: str) -> Iterator[Block]:
    for match in FENCE.finditer(text):
        line = text.count('\n', 0, match.start('code'))
        yield Block(match['language'], match['code'], line, match['mode'])


def without_blocks(text: str) -> str:
    return FENCE.sub('', text)


def read(page: str) -> str:
    return (PROJECT / page).read_text()


def anchors(text: str) -> set[str]:
    """Of the headings of a page, as MkDocs and most forges make them."""
    headings = re.findall(r'^#+ (.+)$', without_blocks(text), re.MULTILINE)
    return {re.sub(r'[-\s]+', '-', re.sub(r'[^\w\s-]', '', heading).strip().lower()) for heading in headings}


def broken_links(text: str, folder: Path) -> list[str]:
    broken = []
    for path, anchor in LINK.findall(without_blocks(text)):
        target = folder / path if path else None
        if target is not None and not target.exists():
            broken.append(path)
        elif anchor and anchor not in anchors(target.read_text() if target else text):
            broken.append(f'{path}#{anchor}')
    return broken


def run_python(page_blocks: list[Block], page: str) -> None:
    """Run the Python blocks of a page in the current folder; those with ``_base_`` are configs and are read as such."""
    names: dict = {'__name__': 'page'}
    for block in page_blocks:
        code = compile('\n' * block.line + block.code, page, 'exec')
        if block.mode == 'compile only':
            imports = [node for node in ast.parse(block.code).body if isinstance(node, (ast.Import, ast.ImportFrom))]
            exec(compile(ast.Module(imports, []), page, 'exec'), {})
        elif re.search(r'^_base_ = ', block.code, re.MULTILINE):
            Path('config_of_a_page.py').write_text(block.code)
            check_config(Config.fromfile('config_of_a_page.py'))
        else:
            exec(code, names)


def command_lines(code: str) -> Iterator[list[str]]:
    """The commands of a bash block as lists of words, variables that the block sets put in."""
    variables: dict[str, str] = {}
    for line in code.replace('\\\n', ' ').splitlines():
        line = re.sub(r'\$\{?([A-Z_]+)\}?', lambda match: variables.get(match[1], match[0]), line)
        lexer = shlex.shlex(line, posix=True, punctuation_chars='|&;')
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ';']:
            if set(word) <= set('|&;'):
                if command:
                    yield command
                command = []
            elif not command and (assignment := ASSIGNMENT.fullmatch(word)):
                variables[assignment[1]] = assignment[2]
                if '$(' in word:  # what a command prints is not known here
                    break
            else:
                command.append(word)


def check_command(command: list[str]) -> None:
    """Raises ValueError if there is no such tool, or it does not take these arguments."""
    program, *arguments = command
    program = program.removeprefix('.venv/bin/')
    if program in ('python', 'bash') and arguments and not arguments[0].startswith('-'):
        program, *arguments = arguments
    if program == 'simipu':
        parse_with('simipu', arguments)
    elif program in SYSTEM_COMMANDS:
        check_paths(arguments)
    elif not (PROJECT / program).is_file():
        raise ValueError(f'{program}: no such tool, and none of the system commands that pages use')
    elif program in ('tools/dist_train.sh', 'tools/dist_test.sh'):
        config, processes, *rest = arguments
        int(processes)
        parse_with(program.replace('dist_', '').replace('.sh', '.py'), [config, *rest])
    elif program == 'tools/slurm_train.sh':
        _, _, config, work_dir, *rest = arguments
        parse_with('tools/train.py', [config, '--work-dir', work_dir, *rest])
    elif program.endswith('.py') and program.startswith(('tools/', 'benchmarks/')):
        parse_with(program, arguments)


def check_paths(arguments: list[str]) -> None:
    for argument in arguments:
        if re.match(r'(configs|requirements|docs|tools)/', argument) and not (PROJECT / argument).exists():
            raise ValueError(f'{argument}: no such file')


def parse_with(tool: str, arguments: list[str]) -> None:
    """Let a script or module itself parse the arguments; where it reads a config, apply them to that."""
    check_paths(arguments)
    own_parse_args = argparse.ArgumentParser.parse_args

    def parse_args(parser, args=None, namespace=None):
        arguments = own_parse_args(parser, args, namespace)
        if list(vars(arguments)) == ['command']:  # of `simipu`, which leaves the rest to the command's own parser
            return arguments
        raise Parsed(arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str((PROJECT / tool).parent))
        patch.setattr('sys.argv', [tool, *arguments])
        patch.setattr(argparse.ArgumentParser, 'parse_args', parse_args)
        try:
            if tool.endswith('.py'):
                runpy.run_path(str(PROJECT / tool), run_name='__main__')
            else:
                runpy.run_module(tool, run_name='__main__')
        except SystemExit as error:
            if error.code:
                raise ValueError(f'{tool} does not take {shlex.join(arguments)}') from None
        except Parsed as parsed:
            if hasattr(parsed.arguments, 'cfg_options') and Path(parsed.arguments.config or '').is_file():
                launch.load_config(parsed.arguments)


@pytest.fixture
def as_a_reader(tmp_path, monkeypatch):
    """A folder of one's own beside the project's files, as relative paths in the pages have them."""
    for name in ('configs', 'tools', 'requirements'):
        (tmp_path / name).symlink_to(PROJECT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, 'environ', dict(os.environ))
    return tmp_path


@pytest.fixture
def street(as_a_reader):
    """The recording of the tutorial, in small."""
    generate_dataset('street', 10, seed=7, image_size=(96, 32), num_workers=1)


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page):
    assert broken_links(read(page), (PROJECT / page).parent) == []


@pytest.mark.parametrize('page', PAGES)
def test_files_that_are_named_exist(page):
    missing = [path for path in PROJECT_PATH.findall(without_blocks(read(page))) if not (PROJECT / path).exists()]
    assert missing == []


@pytest.mark.parametrize('page', [page for page in PAGES if '```python' in read(page)])
def test_python_blocks_run(page, as_a_reader, request):
    if page == 'docs/tutorial.md':
        request.getfixturevalue('street')
    run_python([block for block in blocks(read(page)) if block.language == 'python' and block.mode != 'skip'], page)


@pytest.mark.parametrize('page', PAGES)
def test_command_lines_are_taken(page, as_a_reader, capfd):
    text = read(page)
    commands = [' '.join(command.split()) for command in INLINE_COMMAND.findall(without_blocks(text))]
    scripts = [block.code for block in blocks(text) if block.language == 'bash' and block.mode != 'skip']
    problems = []
    for command in [command for script in scripts + commands for command in command_lines(script)]:
        try:
            check_command(command)
        except ValueError as error:
            problems.append(f'{error}\n{capfd.readouterr().err}')
    assert not problems, '\n'.join(problems)


def test_tutorial_converts_its_frames(street, monkeypatch):
    page = 'docs/tutorial.md'
    run_python([block for block in blocks(read(page)) if block.language == 'python'], page)
    program, tool, *arguments = next(command for block in blocks(read(page)) if block.language == 'bash'
                                     for command in command_lines(block.code) if 'jsonl' in command)
    monkeypatch.setattr('sys.argv', [tool, *arguments])
    runpy.run_path(str(PROJECT / tool), run_name='__main__')
    frames = {split: mmengine.load(f'street/simipu_infos_{split}.pkl')['data_list'] for split in ('train', 'val')}
    assert [len(frames['train']), len(frames['val'])] == [9, 1]
    assert list(frames['val'][0]['images']) == ['front']


def test_every_registered_type_is_in_the_api_reference():
    pages = '\n'.join(read(page) for page in PAGES if page.startswith('docs/api/'))
    documented = [importlib.import_module(name) for name in re.findall(r'^::: (\S+)', pages, re.MULTILINE)]
    registered = {kind for registry in vars(registries).values() if isinstance(registry, Registry)
                  for kind in registry.module_dict.values() if kind.__module__.startswith('simipu.')}
    missing = [kind for kind in registered
               if not any(getattr(module, kind.__name__, None) is kind for module in documented)]
    assert missing == [] and len(registered) > 30


def test_blocks_have_a_language():
    without = [f'{page}:{block.line}' for page in PAGES for block in blocks(read(page)) if not block.language]
    indented = [f'{page}: {line}' for page in PAGES
                for line in re.findall(r'^ {4}(?:python|bash|simipu) .*', without_blocks(read(page)), re.MULTILINE)]
    assert without == [] and indented == [], 'only fenced blocks with a language are tested'


def test_what_is_wrong_is_found(as_a_reader):
    """The checks above, on pages with mistakes in them."""
    assert broken_links('# One\n[a](nowhere.md) [b](#one) [c](#two) [d](https://example.org)', as_a_reader) == [
        'nowhere.md', '#two']
    for wrong in ('python tools/train.py configs/simipu_kitti.py --no-such-flag', 'python tools/trian.py',
                  'python tools/train.py configs/no_such_config.py',
                  'bash tools/dist_train.sh configs/simipu_kitti.py x',
                  'CONFIG=configs/none.py\npython tools/train.py $CONFIG --work-dir x', 'rum x',
                  'python tools/train.py configs/simipu_kitti.py --cfg-options model.img_backbone.no_such_key=1'):
        with pytest.raises(ValueError):
            for command in command_lines(wrong):
                check_command(command)
    with pytest.raises(ImportError):
        run_python([Block('python', 'from simipu.geometry import no_such_function', 1, 'compile only')], 'page')
    config = "_base_ = 'configs/simipu_kitti.py'\nmodel = dict(no_such_key=1)"
    with pytest.raises(ValueError):
        run_python([Block('python', config, 1, None)], 'page')
