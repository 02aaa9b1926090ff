"""The examples in docstrings, run as they stand."""
import doctest
import importlib
import pkgutil

import pytest

import simipu

MODULES = [name for _, name, _ in pkgutil.walk_packages(simipu.__path__, 'simipu.')
           if '>>>' in (importlib.util.find_spec(name).loader.get_source(name))]


def test_what_can_be_used_alone_has_an_example():
    assert {f'simipu.{name}' for name in (
        'models.losses.info_nce', 'models.heads.contrastive_head', 'models.matchers', 'models.projection_mlp',
        'ops.sampling', 'ops.neighbors')} <= {*MODULES}


@pytest.mark.parametrize('name', MODULES)
def test_examples(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0 and results.failed == 0
