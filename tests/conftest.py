"""What all tests share: one thread, fixed seeds, made media, and the folder of real recordings where there is one."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from made_media import Made, make_all

# Results must not depend on the machine, and the cores are shared.
torch.set_num_threads(1)
# No power is cut here, and thousands of waits for a busy disk are minutes. Processes that tests start do wait.
os.fsync = lambda descriptor: None


@pytest.fixture(autouse=True)
def _seeded():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """Small recordings whose every frame and click is known, by name; made once."""
    return make_all(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("AVSSL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}; set AVSSL_DATA to their folder")
    return folder
