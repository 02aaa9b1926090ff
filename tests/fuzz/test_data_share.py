"""A share of the malformed data in each run of the tests; ``run.py`` tries all of them."""
import pytest
from outcomes import Outcome, table
from run import cases, try_all

NUM_CASES = 24
"""Of each kind, spread evenly."""


@pytest.mark.parametrize('suite', ['cloud', 'database', 'file', 'image', 'info', 'own', 'table', 'text'])
def test_malformed_data_are_named_or_read_right(suite):
    all_cases = list(cases(suite))
    results = try_all(all_cases[::len(all_cases) // NUM_CASES])
    assert not any(result.outcome is Outcome.FAILURE for _, result in results), table(results)
    assert len(results) >= NUM_CASES
