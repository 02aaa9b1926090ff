"""The classification itself: each kind of outcome is recognised for what it is."""
import os
import time

import outcomes
import pytest
from outcomes import CANARY, PAYLOAD, Case, Outcome, Result, table, try_case

from simipu.errors import DataError


def accepts(found):
    return None


def raise_(error):
    raise error


@pytest.mark.parametrize('run, judge, outcome, detail', [
    (lambda folder: raise_(DataError('a.txt: empty; copy it again')), accepts, Outcome.NAMED_ERROR, 'a.txt: empty'),
    (lambda folder: raise_(SystemExit('error: no file a.txt')), accepts, Outcome.NAMED_ERROR, 'no file'),
    (lambda folder: raise_(KeyError('P2')), accepts, Outcome.FAILURE, 'KeyError'),
    (lambda folder: raise_(SystemExit(1)), accepts, Outcome.FAILURE, 'SystemExit'),
    (lambda folder: raise_(DataError('x' * 5000)), accepts, Outcome.FAILURE, '5000 characters'),
    (lambda folder: 7, lambda found: None if found == 7 else 'wrong', Outcome.RIGHT, ''),
    (lambda folder: 8, lambda found: None if found == 7 else 'wrong', Outcome.FAILURE, 'wrong'),
    (lambda folder: 8, lambda found: Outcome.SKIPPED, Outcome.SKIPPED, ''),
    (lambda folder: time.sleep(5), accepts, Outcome.FAILURE, 'hung'),
    (lambda folder: os.system(PAYLOAD), accepts, Outcome.FAILURE, 'executed'),
    (lambda folder: eval(f'"{CANARY}"'), accepts, Outcome.FAILURE, 'executed'),
    (lambda folder: CANARY.touch() or raise_(DataError('refused')), accepts, Outcome.FAILURE, 'executed'),
])
def test_outcomes(run, judge, outcome, detail, tmp_path):
    result = try_case(Case('group', 'name', run, judge), tmp_path, seconds=2)
    assert result.outcome is outcome and detail in result.detail
    assert not CANARY.exists()


def test_memory(tmp_path, monkeypatch):
    peaks = iter([1e9, 3e9, 3e9])
    monkeypatch.setattr(outcomes, '_peak_memory', lambda: next(peaks))
    result = try_case(Case('group', 'name', lambda folder: 7, accepts), tmp_path)
    assert result == (Outcome.FAILURE, 'took 2.0 GB more memory')


def test_by_default_a_case_must_be_refused(tmp_path):
    assert try_case(Case('group', 'name', lambda folder: 7), tmp_path).outcome is Outcome.FAILURE


def test_the_table_counts_and_lists_failures():
    case = Case('lists', 'empty', print)
    results = [(case, Result(Outcome.NAMED_ERROR)), (case, Result(Outcome.FAILURE, 'KeyError: 3')),
               (Case('clouds', 'cut', print), Result(Outcome.SKIPPED))]
    text = table(results)
    assert '| lists | 2 | 1 | 0 | 0 | 1 |' in text and '| all | 3 | 1 | 1 | 0 | 1 |' in text
    assert text.endswith('FAILURE lists: empty: KeyError: 3')
