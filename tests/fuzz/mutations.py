"""Ways to damage bytes and values, the same for a seed, and what stands in place of files."""
import copy
import os
import pickle
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from outcomes import PAYLOAD

LFS_POINTER = b'version https://git-lfs.github.com/spec/v1\noid sha256:' + b'4d7a' * 16 + b'\nsize 102530333\n'
ABSENT = object()
"""Stands for a field that is not there."""


def holding_itself() -> list:
    value: list = []
    value.append(value)
    return value


def doubling() -> list:
    """60 lists whose text would have 2**60 letters."""
    value: list = [0]
    for _ in range(60):
        value = [value, value]
    return value


# Wrong values for any field, by name.
VALUES = {
    'absent': ABSENT, 'None': None, 'true': True, 'zero': 0, 'negative': -3, 'fraction': 0.5, 'huge': 10**400,
    'large': 1e17, 'nan': float('nan'), 'infinity': float('inf'), 'empty text': '', 'text': 'abc', 'zero byte': 'a\0b',
    'long text': 'x' * 10**5, 'traversal': '../../../../etc/passwd', 'surrogate': '\ud800', 'bytes': b'\xff',
    'empty list': [], 'ragged list': [[1, 2], [3]], 'list of texts': ['a', 'b'], 'empty dict': {},
    'nested dict': {'a': {}}, 'itself': holding_itself(), 'doubling': doubling(), 'set': {1, 2},
    'small array': np.zeros((2, 2)),
    'array of texts': np.array(['a']), 'array of objects': np.array([None, {}], dtype=object), 'scalar': np.float32(3),
    'singular matrix': np.zeros((4, 4)).tolist(), 'matrix of nan': np.full((4, 4), np.nan),
    'matrix of huge numbers': np.full((4, 4), 1e300).tolist(), 'tensor of matrices': np.ones((4, 4, 4)),
}
JSON_VALUES = {name: value for name, value in VALUES.items()
               if not isinstance(value, (bytes, set, np.ndarray, np.generic)) and name not in ('itself', 'doubling')}


def changed(content: Any, place: tuple, value: Any) -> Any:
    """A copy of nested containers with another value at a place, or without it where that is ABSENT."""
    content = copy.deepcopy(content)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    if value is ABSENT:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return content


def damaged(content: bytes, seed: int, flips: int = 12, start: int = 0) -> Iterator[tuple[str, bytes]]:
    """Cut, zeroed, overwritten and flipped, by name.

    Args:
        content: Sound.
        seed: Of the places.
        flips: How many versions have a flipped bit.
        start: Where flipping begins.
    """
    rng = random.Random(seed)
    yield 'empty', b''
    yield 'one byte', content[:1]
    for share in (0.1, 0.5, 0.9):
        yield f'cut at {share:.0%}', content[:int(share * len(content))]
    yield 'all but the last byte', content[:-1]
    yield 'zeros', bytes(len(content))
    yield 'second half zeros', content[:len(content) // 2].ljust(len(content), b'\0')
    yield 'first 16 bytes zeros', bytes(16) + content[16:]
    yield 'random bytes', rng.randbytes(len(content))
    yield 'backwards', content[::-1]
    yield 'a web page', b'<!DOCTYPE html>\n<html><title>404 Not Found</title></html>\n'
    yield 'a Git LFS pointer', LFS_POINTER
    yield 'text', b'these are no data, but some words that somebody wrote\n' * 8
    for number in range(flips):
        position = rng.randrange(start, len(content))
        yield (f'bit {number} flipped', content[:position] + bytes([content[position] ^ 1 << rng.randrange(8)])
               + content[position + 1:])


class RunsCode:
    """Pickled, it asks whoever reads it to run PAYLOAD."""

    def __init__(self, function: Callable, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple:
        return self.call


def attacks() -> dict[str, bytes]:
    """Pickles that would run code, by name."""
    import builtins
    import functools
    import operator
    import subprocess
    import sys

    import torch
    shell = f'__import__("os").system({PAYLOAD!r})'
    calls = {
        'os.system': RunsCode(os.system, PAYLOAD), 'eval': RunsCode(builtins.eval, shell),
        'exec': RunsCode(builtins.exec, shell), 'subprocess': RunsCode(subprocess.getoutput, PAYLOAD),
        'getattr': RunsCode(builtins.getattr, builtins.print, '__self__'),
        'import': RunsCode(builtins.__import__, 'antigravity'), 'partial': functools.partial(os.system, PAYLOAD),
        'attrgetter': operator.attrgetter('system'), 'open': RunsCode(builtins.open, PAYLOAD[6:], 'w'),
        'torch storage': torch.zeros(3), 'path': Path('a'), 'python object': random.Random(0),
        'pickle in a pickle': RunsCode(pickle.loads, pickle.dumps(RunsCode(os.system, PAYLOAD))),
        'numpy.load': RunsCode(np.load, 'a.npy'), 'sys.exit': RunsCode(sys.exit, 0),
    }
    found = {name: pickle.dumps(call) for name, call in calls.items()}
    found['protocol 0'] = pickle.dumps(calls['os.system'], 0)
    found['in an array of objects'] = pickle.dumps(np.array([calls['os.system'], None], dtype=object))
    found['as a key'] = pickle.dumps({calls['os.system']: 1})
    found['in an info'] = pickle.dumps(dict(data_list=[dict(images={}, x=calls['eval'])]))
    found['dotted name'] = b'\x80\x04\x8c\x0bcollections\x8c\x1aOrderedDict.__init__.__globals__\x93.'
    found['extension'] = b'\x80\x02\x82\x01.'
    found['persistent id'] = b'\x80\x02K\x01Q.'
    found['dtype of a record'] = pickle.dumps(np.zeros(2, dtype=[('a', 'f4'), ('b', 'O')]))
    found['100 GB of bytes'] = b'\x80\x03cbuiltins\nbytearray\n\x8a\x05\x00\xe8\x76\x48\x17\x85R.'
    found['a huge array'] = b'\x80\x03cnumpy\nndarray\n\x8a\x05\x00\xe8\x76\x48\x17\x85R.'
    found['a decoder'] = b'\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x0a\x00\x00\x00idna_codec\x86R.'
    return found


def in_place_of_a_file() -> dict[str, Callable[[Path], None]]:
    """What may stand where a file should, by name: functions that put it at a path."""
    return {
        'nothing': lambda path: None,
        'an empty file': lambda path: path.write_bytes(b''),
        'a folder': lambda path: path.mkdir(),
        'a pipe': os.mkfifo,
        'a socket': _socket,
        'an endless device': lambda path: path.symlink_to('/dev/zero'),
        'a device of random bytes': lambda path: path.symlink_to('/dev/urandom'),
        'a link to itself': lambda path: path.symlink_to(path.name),
        'a link to nothing': lambda path: path.symlink_to('nowhere'),
        'a Git LFS pointer': lambda path: path.write_bytes(LFS_POINTER),
        'binary zeros': lambda path: path.write_bytes(bytes(4096)),
        'a sparse file of 100 GB': _sparse,
    }


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        former = os.getcwd()
        os.chdir(path.parent)  # a socket's path has 107 letters at most
        server.bind(path.name)
        os.chdir(former)


def _sparse(path: Path) -> None:
    with open(path, 'wb') as file:
        file.truncate(10**11)




def some(values: dict, seed: int, *place: Any, count: int = 8) -> Iterator[tuple[str, Any]]:
    """A few of the named values, others for each seed and place, and those that are not there and None always."""
    rng = random.Random(f'{seed} {place}')
    chosen = {'absent', 'None', *rng.sample(sorted(values), count - 2)}
    return ((name, value) for name, value in values.items() if name in chosen)
