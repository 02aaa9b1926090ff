"""Files that are written as a whole or not at all, and pointers of Git LFS."""
import errno
import os
import subprocess
import sys

import pytest

from simipu.errors import OutputError
from simipu.files import lfs_pointer, write_whole


def test_content_replaces_what_was_there_with_the_usual_permissions(tmp_path):
    write_whole(tmp_path / 'new' / 'a.pth', b'old')
    write_whole(tmp_path / 'new' / 'a.pth', b'content')
    (tmp_path / 'usual').touch()
    assert (tmp_path / 'new' / 'a.pth').read_bytes() == b'content'
    assert (tmp_path / 'new' / 'a.pth').stat().st_mode == (tmp_path / 'usual').stat().st_mode
    assert os.listdir(tmp_path / 'new') == ['a.pth']


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / 'b').touch()
    with pytest.raises(OutputError, match=rf'a.pth cannot be written \(.*\): check that {tmp_path}/b is a folder'):
        write_whole(tmp_path / 'b' / 'a.pth', b'content')


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, number, monkeypatch):
    (tmp_path / 'a.pth').write_bytes(b'old')

    def full(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OutputError, match=rf'a.pth cannot be written \({os.strerror(number)}\): it needs 3.0 MB, and '
                       rf'\d+\.\d MB are free in {tmp_path}. Free some space'):
        write_whole(tmp_path / 'a.pth', bytes(3_000_000))
    assert os.listdir(tmp_path) == ['a.pth'] and (tmp_path / 'a.pth').read_bytes() == b'old'


def test_a_folder_in_the_place_of_the_file(tmp_path):
    (tmp_path / 'a.pth').mkdir()
    with pytest.raises(OutputError, match='a.pth cannot be written .Is a directory'):
        write_whole(tmp_path / 'a.pth', b'content')
    assert os.listdir(tmp_path) == ['a.pth']


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path):
    write_whole(tmp_path / 'a.pth', b'old')
    kill = 'import os, sys, simipu.files; os.fsync = lambda _: os.kill(os.getpid(), 9); '
    write = 'simipu.files.write_whole(sys.argv[1], b"new")'
    done = subprocess.run([sys.executable, '-c', kill + write, str(tmp_path / 'a.pth')])
    assert done.returncode == -9 and (tmp_path / 'a.pth').read_bytes() == b'old'
    write_whole(tmp_path / 'a.pth', b'newer')
    assert os.listdir(tmp_path) == ['a.pth'] and (tmp_path / 'a.pth').read_bytes() == b'newer'


LFS_POINTER = b"""version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 102530333
"""  # as Git LFS 3 writes it


@pytest.mark.parametrize('content, expected', [
    (LFS_POINTER, 'is a pointer of Git LFS, not the file of 102.5 MB that it stands for; in its clone run: git lfs '
     'pull'),
    (LFS_POINTER[:60], 'is a pointer of Git LFS, not the file that it stands for; in its clone run: git lfs pull'),
    (b'version 2', None), (b'', None)])
def test_a_pointer_of_git_lfs_is_recognised(content, expected):
    assert lfs_pointer(content) == expected
