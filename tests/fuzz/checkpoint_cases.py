"""Malformed checkpoints, each given to commands that read one."""
import contextlib
import io
import os
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from outcomes import PAYLOAD, Case, Outcome
from safetensors.torch import save
from sound_project import run, sound_project, train

LFS_POINTER = b'version https://git-lfs.github.com/spec/v1\noid sha256:' + b'0' * 64 + b'\nsize 1234567\n'


class RunsCode:
    """What a pickle says to run a command when it is read."""

    def __reduce__(self):
        return os.system, (PAYLOAD, )


# What is done with a checkpoint; each returns what can be compared with the result for the sound one.

def export(folder: Path, checkpoint: Path) -> Any:
    run('export', checkpoint, 'out.pth')
    return _weights('out.pth')


def convert(folder: Path, checkpoint: Path) -> Any:
    run('convert', checkpoint, 'out.pth', '--to', 'ours')
    return _weights('out.pth')


def verify(folder: Path, checkpoint: Path) -> Any:
    report = run('verify', sound_project().detector, checkpoint, '--backbone-only')
    return report.replace(str(checkpoint), 'CHECKPOINT')


def resume(folder: Path, checkpoint: Path) -> Any:
    """From the second iteration to the third."""
    train(sound_project().config, 'train_cfg.max_iters=3', '--resume', checkpoint)
    return _weights('work_dir/iter_3.pth')


def load_from(folder: Path, checkpoint: Path) -> Any:
    said = train(sound_project().config, f'load_from={checkpoint}', 'train_cfg.max_iters=1')
    return Outcome.SKIPPED if 'size mismatch' in said else _weights('work_dir/iter_1.pth')


def initialise(folder: Path, checkpoint: Path) -> Any:
    said = train(
        sound_project().config, 'train_cfg.max_iters=1', 'model.img_backbone.init_cfg.type=Pretrained',
        f'model.img_backbone.init_cfg.checkpoint={checkpoint}', 'model.img_backbone.init_cfg.prefix=img_backbone.')
    return Outcome.SKIPPED if 'start at random values' in said else _weights('work_dir/iter_1.pth')


def visualize(folder: Path, checkpoint: Path) -> Any:
    run('visualize', sound_project().config, checkpoint, '--num-frames', 1, '--probe-frames', 0, '--out-dir', 'out')
    return Path('out/val_000000.png').read_bytes()


def transfer(folder: Path, checkpoint: Path) -> Any:
    few = [word for option in ('probe-frames', 'finetune-frames', 'scored-frames', 'steps', 'seeds')
           for word in (f'--{option}', 1)]
    run('transfer', sound_project().config, '--out', 'out', '--backbone', f'mine={checkpoint}', *few)
    return Path('out/transfer.txt').read_bytes()


def test(folder: Path, checkpoint: Path) -> Any:
    run('test', sound_project().config, checkpoint, '--out', 'metrics.json')
    return [line for line in Path('metrics.json').read_text().splitlines() if '/' in line]


QUICK, SLOW = (export, convert, verify), (resume, load_from, initialise, visualize, transfer, test)


def _weights(path: str) -> dict:
    return {name: value.numpy().tobytes() for name, value in torch.load(path)['state_dict'].items()}


@cache
def expected(command: Callable) -> Any:
    """The result for the sound checkpoint."""
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        return command(Path(folder), sound_project().checkpoint)


# What is wrong with a file: a function of its bytes, or of its content.

def _bytes_mutations(rng: random.Random) -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    yield 'empty', lambda data: b''
    yield 'one byte', lambda data: data[:1]
    for share in (0.01, 0.5, 0.9, 0.999):
        yield f'cut at {share:.1%}', lambda data, share=share: data[:int(share * len(data))]
    yield 'zeroed', lambda data: bytes(len(data))
    yield 'second half zeroed', lambda data: data[:len(data) // 2] + bytes(len(data) - len(data) // 2)
    yield 'text', lambda data: b'These are my weights.\n' * 50
    yield 'HTML', lambda data: b'<!DOCTYPE html><html><title>404 Not Found</title></html>'
    yield 'pointer of Git LFS', lambda data: LFS_POINTER
    yield 'PNG', lambda data: b'\x89PNG\r\n\x1a\n' + bytes(100)
    yield 'random bytes', lambda data, seed=rng.random(): random.Random(seed).randbytes(5000)
    yield 'pickle that runs code', lambda data: pickle.dumps(RunsCode())
    yield 'pickle of protocol 0 that runs code', lambda data: pickle.dumps(RunsCode(), protocol=0)
    yield 'pickle of numbers', lambda data: pickle.dumps(dict(state_dict=dict(a=1)))
    yield 'doubled', lambda data: data + data
    yield 'zip of something else', lambda data: _zip({'readme.txt': b'hello'})
    yield 'packed archive', lambda data: _zip({'backbone.pth': data}, zipfile.ZIP_DEFLATED)
    yield 'archive without tensors', lambda data: _zip({'archive/data.pkl': pickle.dumps({})})
    yield 'archive that runs code', lambda data: _zip(
        {'archive/data.pkl': pickle.dumps(RunsCode(), protocol=2), 'archive/version': b'3\n',
         'archive/byteorder': b'little'})
    yield 'bytes in the wrong order', lambda data: data[::-1]
    for place in ('first kilobyte', 'middle', 'last kilobyte', 'anywhere', 'anywhere', 'anywhere', 'anywhere'):
        where = {'first kilobyte': (0, 0, 1000), 'last kilobyte': (1, -1000, 0)}.get(place, (0.5, 0, 0))
        yield f'flipped bit, {place} {rng.randrange(1000)}', partial(_flipped, rng.random(), place, where)


def _flipped(seed: float, place: str, where: tuple, data: bytes) -> bytes:
    rng = random.Random(seed)
    start = dict(first=0, middle=len(data) // 2, last=len(data) - 1000).get(place.split()[0], rng.randrange(len(data)))
    at = min(start + rng.randrange(1000), len(data) - 1)
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]


def _zip(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _content_mutations() -> Iterator[tuple[str, Callable[[dict], Any]]]:
    name = 'img_backbone.layer1.0.conv1.weight'

    def tensor(change):
        return lambda content: _with(content, 'state_dict', _with(content['state_dict'], name,
                                                                  change(content['state_dict'][name])))

    for kind, change in dict(
            integers=lambda value: value.int(), booleans=lambda value: value > 0, complex=lambda value: value + 1j,
            transposed=lambda value: value.permute(2, 3, 0, 1).contiguous(), flat=torch.flatten,
            scalar=lambda value: value.sum(), sparse=torch.Tensor.to_sparse, nan=lambda value: value * float('nan'),
            infinite=lambda value: value / 0, number=lambda value: 3, text=lambda value: 'weights',
            nothing=lambda value: None, array=lambda value: value.numpy(), doubled=lambda value: torch.cat([value] * 2),
            too_large=lambda value: torch.full_like(value, 1e300, dtype=torch.float64),
            expanded=lambda value: torch.zeros(1).expand(10**9),
            quantized=lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)).items():
        yield f'tensor: {kind}', tensor(change)
    yield 'tensors under numbers', lambda content: _with(content, 'state_dict', dict(enumerate(
        content['state_dict'].values())))
    yield 'no tensor', lambda content: _with(content, 'state_dict', {})
    yield 'nested twice', lambda content: _with(content, 'state_dict', dict(state_dict=content['state_dict']))
    yield 'tensors in a list', lambda content: _with(content, 'state_dict', list(content['state_dict'].values()))
    yield 'a list', lambda content: [content]
    yield 'one tensor', lambda content: torch.zeros(3)
    yield 'no backbone', lambda content: _with(content, 'state_dict', dict(other=torch.zeros(3)))
    yield 'history of another kind', lambda content: _with(content, 'message_hub', torch.zeros(3))
    for value in (None, 3, 'text', []):
        yield f'meta = {value!r}', lambda content, value=value: _with(content, 'meta', value)
    yield 'meta with a program', lambda content: _with(content, 'meta', dict(
        content['meta'], config=f'import os\nos.system({PAYLOAD!r})'))
    yield 'meta with a deep text', lambda content: _with(content, 'meta', dict(content['meta'], cfg='(' * 10**5))


def _training_mutations() -> Iterator[tuple[str, Callable[[dict], Any]]]:
    """What only matters where a training is resumed."""
    for part in ('meta', 'optimizer', 'param_schedulers', 'message_hub'):
        yield f'no {part}', lambda content, part=part: {key: value for key, value in content.items() if key != part}
        for value in (None, 5, 'text', [], {}, [1], dict(a=1)):
            yield f'{part} = {value!r}', lambda content, part=part, value=value: _with(content, part, value)
    for key in ('iter', 'epoch'):
        for value in (None, -1, 'two', 1.5, [1]):
            yield f'meta.{key} = {value!r}', lambda content, key=key, value=value: _with(
                content, 'meta', dict(content['meta'], **{key: value}))
    yield 'one scheduler of two', lambda content: _with(content, 'param_schedulers', content['param_schedulers'][:1])

    def state(change):
        def changed(content):
            first = next(iter(content['optimizer']['state'].values()))
            name = next(name for name, value in first.items() if torch.is_tensor(value) and value.ndim)
            first[name] = change(first[name])
            return content
        return changed

    yield 'optimizer state: another shape', state(lambda value: value[:1])
    yield 'optimizer state: nan', state(lambda value: value * float('nan'))
    yield 'optimizer state: text', state(lambda value: 'text')
    yield 'no groups', lambda content: _with(content, 'optimizer', dict(content['optimizer'], param_groups=[]))
    yield 'no state', lambda content: _with(content, 'optimizer', dict(content['optimizer'], state={}))


def _with(content: dict, key: str, value: Any) -> dict:
    return {**content, key: value}


# Cases.

def cases(seed: int = 0) -> Iterator[Case]:
    """All cases: what is wrong with any file for each command, what is wrong with a training for ``--resume``."""
    sound_project()  # before the clock of the first case runs
    rng = random.Random(seed)
    files = [*((name, partial(_write_bytes, change)) for name, change in _bytes_mutations(rng)),
             *((name, partial(_write_content, change)) for name, change in _content_mutations()),
             ('folder', Path.mkdir), ('pipe', os.mkfifo), ('missing', str),
             ('link to itself', lambda path: path.symlink_to(path))]
    for name, write in files:
        for command in QUICK:
            yield _case(name, write, command)
        yield _case(name, write, rng.choice(SLOW))
    for name, change in _training_mutations():
        yield _case(name, partial(_write_content, change), resume)
    for name, change in _safetensors_mutations(rng):
        yield _case(name, change, rng.choice(QUICK), suffix='.safetensors')


def _case(name: str, write: Callable[[Path], None], command: Callable, suffix: str = '.pth') -> Case:
    def spoiled(folder: Path) -> Any:
        checkpoint = folder / f'checkpoint{suffix}'
        write(checkpoint)
        return command(folder, checkpoint)

    def judge(found: Any) -> str | Outcome | None:
        if isinstance(found, Outcome):
            return found
        return None if found == expected(command) else 'was accepted, and gave another result than the sound one'

    return Case(f'checkpoints: {command.__name__}', name, spoiled, judge)


def _write_bytes(change: Callable[[bytes], bytes], path: Path) -> None:
    path.write_bytes(change(sound_project().checkpoint.read_bytes()))


def _write_content(change: Callable[[dict], Any], path: Path) -> None:
    torch.save(change(torch.load(sound_project().checkpoint)), path)


def _safetensors_mutations(rng: random.Random) -> Iterator[tuple[str, Callable[[Path], None]]]:
    def written(change):
        return lambda path: path.write_bytes(change(save(
            {key: value.contiguous() for key, value in torch.load(sound_project().checkpoint)['state_dict'].items()})))

    for length in (0, 1, 10**6, 2**62, 2**64 - 1):
        yield f'safetensors: header of {length}', written(
            lambda data, length=length: length.to_bytes(8, 'little') + data[8:])
    for old, new in ((b'F32', b'I32'), (b'F32', b'F64'), (b'F32', b'XXX'), (b'data_offsets', b'data_offset_'),
                     (b'"shape":[4', b'"shape":[9'), (b'{', b'['), (b':[0,', b':[8,'), (b'weight', b'wei\xffht')):
        yield f'safetensors: {old} is {new}', written(lambda data, old=old, new=new: data.replace(old, new))
    for share in (0, 0.001, 0.5, 0.99):
        yield f'safetensors: cut at {share:.1%}', written(lambda data, share=share: data[:int(share * len(data))])
    yield 'safetensors: pointer of Git LFS', lambda path: path.write_bytes(LFS_POINTER)
    yield 'safetensors: a pickle that runs code', lambda path: path.write_bytes(pickle.dumps(RunsCode()))
    yield 'safetensors: a checkpoint of PyTorch', lambda path: shutil.copy(sound_project().checkpoint, path)
    yield 'safetensors: folder', Path.mkdir
    yield 'safetensors: pipe', os.mkfifo
