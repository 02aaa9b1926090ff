"""Lets g++ parse torch's headers once, instead of once for each of mmcv's 77 files.

    python tools/precompile_torch.py FOLDER

Writes the precompiled headers (0.4 GB) into the folder and prints the CFLAGS to compile with. g++ reads the headers
themselves where it finds that they were precompiled with other options than it is given. A path with spaces, which
CFLAGS cannot hold, is an error.
"""
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import torch
from torch.utils.cpp_extension import include_paths


def main(folder: Path) -> None:
    """Precompile into ``folder`` and print the options for g++."""
    if ' ' in str(folder):
        sys.exit(f'{folder}: CFLAGS cannot hold a path with spaces')
    header = folder / 'torch_headers.hpp'
    header.write_text('#include <torch/types.h>\n')
    includes = [f'-I{path}' for path in (*include_paths(), sysconfig.get_path('include'))]
    subprocess.run([os.environ.get('CXX', 'g++'), *sysconfig.get_config_var('CFLAGS').split(), *extension_options(),
                    '-g0', *includes, '-x', 'c++-header', header, '-o', f'{header}.gch'],
                   check=True, stdout=sys.stderr)
    print(f'-g0 -include {header}')


def extension_options() -> list[str]:
    """Those of ``torch.utils.cpp_extension.BuildExtension`` that decide whether precompiled headers fit."""
    options = ['-fPIC', '-std=c++17', '-DTORCH_API_INCLUDE_EXTENSION_H', '-DTORCH_EXTENSION_NAME=_ext']
    if not torch.compiled_with_cxx11_abi():
        options.append('-D_GLIBCXX_USE_CXX11_ABI=0')
    for name in ('COMPILER_TYPE', 'STDLIB', 'BUILD_ABI'):  # of pybind11, up to torch 2.8
        value = getattr(torch._C, f'_PYBIND11_{name}', None)
        if value is not None:
            options.append(f'-DPYBIND11_{name}="{value}"')
    return options


if __name__ == '__main__':
    main(Path(sys.argv[1]))
