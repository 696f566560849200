"""One recording, store, service and browser for all tests of the service; those that need others make them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from asked import SHOWN
from headless import binary, browser
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


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    if binary() is None:
        pytest.skip("no Chromium on this machine: the page is not tried in a browser")
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def page(chromium, service):
    """The start of the page, once it shows something; nothing may have gone wrong in it when the test ends."""
    chromium.complaints.clear()
    chromium.open(service.url)
    chromium.until(f"{SHOWN} > 0 && document.querySelector('video')")
    yield chromium
    assert chromium.complaints == []
    assert chromium.run("document.title") == "store: find the moment"
