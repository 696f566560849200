"""One recording, one store and one service for all tests of the service; those that need others make them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from running import Client, Painter, make_store, running, write_colors

from retrieval.serve.settings import Limits, Settings


@pytest.fixture(scope="session")
def colors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colors(tmp_path_factory.mktemp("recordings") / "colors <b>&.mp4")


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory, colors: Path) -> Path:
    other = write_colors(tmp_path_factory.mktemp("others") / "other.mp4")
    return make_store(tmp_path_factory.mktemp("stores") / "store", (colors, "one/<i>colors</i>"), (other, "other"))


@pytest.fixture(scope="session")
def service(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    settings = Settings(port=0, limits=Limits(uploads_per_minute=600))  # many tests ask within one minute
    with running(stored, tmp_path_factory.mktemp("uploads"), Painter(), settings) as client:
        yield client
