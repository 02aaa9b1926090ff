"""The Dockerfile, as far as it can be checked without building an image."""
import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
INSTRUCTIONS = {'ARG', 'FROM', 'RUN', 'WORKDIR', 'COPY', 'ENV', 'ENTRYPOINT', 'CMD'}


def instructions() -> list[tuple[str, str]]:
    """Pairs of instruction and arguments; lines that go on are joined."""
    text = re.sub(r'^#.*\n', '', (PROJECT / 'Dockerfile').read_text(), flags=re.MULTILINE)
    lines = [line for line in text.replace('\\\n', ' ').splitlines() if line.strip()]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def arguments_of(name: str) -> list[str]:
    return [arguments for instruction, arguments in instructions() if instruction == name]


def test_is_well_formed():
    assert {name for name, _ in instructions()} == INSTRUCTIONS
    first = [name for name, _ in instructions()]
    assert first[:2] == ['ARG', 'FROM'] and '${BASE}' in arguments_of('FROM')[0]


def test_copies_what_exists_and_leaves_out_what_git_ignores():
    for arguments in arguments_of('COPY'):
        for source in arguments.split()[:-1]:
            assert (PROJECT / source).exists(), source
    ignored = set((PROJECT / '.dockerignore').read_text().split())
    in_git = {line.strip('/') for line in (PROJECT / '.gitignore').read_text().splitlines()
              if line and not line.startswith('#')}
    assert {name.strip('/') for name in in_git} <= {name.removeprefix('**/') for name in ignored}


def test_installs_by_the_script_and_the_packages_it_asks_for():
    assert any(arguments.endswith('bash tools/install.sh') for arguments in arguments_of('RUN'))
    asked = re.findall(r'missing\+=\("?(\S+?)"?\)', (PROJECT / 'tools/install.sh').read_text())
    asked = [name.replace('$version', '3.11') for name in asked]
    installed = next(arguments for arguments in arguments_of('RUN') if 'apt-get' in arguments).split()
    assert asked and set(asked) <= set(installed)
    assert any('/opt/simipu/.venv/bin' in arguments for arguments in arguments_of('ENV'))
