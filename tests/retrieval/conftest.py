"""Small stores of made-up vectors."""

import pytest
from made_up import SPACE

from retrieval.store import Store


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "store", SPACE) as made:
        yield made
