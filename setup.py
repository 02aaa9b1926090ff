"""Package metadata; the requirements are those of requirements.txt and requirements/."""
import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def read_requirements(name):
    """The lines of a requirements file that are no comments."""
    lines = (ROOT / name).read_text().splitlines()
    return [line for line in lines if line.strip() and not line.startswith('#')]


def read_version():
    text = (ROOT / 'projects/simipu/__init__.py').read_text()
    return re.search(r"^__version__ = '(.+)'", text, re.MULTILINE).group(1)


setup(
    name='simipu',
    version=read_version(),
    description='Label-free pre-training of camera backbones from paired images and LiDAR, for mmdet3d',
    package_dir={'': 'projects'},
    packages=find_packages('projects'),
    python_requires='>=3.11,<3.12',
    install_requires=read_requirements('requirements.txt'),
    extras_require={
        'depth': read_requirements('requirements/depth.txt'),
        'sparse': read_requirements('requirements/optional.txt'),
        'tests': read_requirements('requirements/tests.txt'),
    },
)
