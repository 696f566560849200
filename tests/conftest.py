"""One thread for all tests: results do not depend on the machine, and the cores are shared."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
