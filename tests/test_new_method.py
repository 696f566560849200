"""A new method in three files, as CONTRIBUTING says, and the laws find it by its files: no other file knows of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
METHOD = '''"""Tell the mean color of a picture from its gray version.

Nobody: A Method for a Test, Nowhere 2020, arXiv:0000.00000. Deviations: none.
"""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.heads import mlp
from avssl.sample import Needs, Sample


class Config(MethodConfig):
    """Options."""

    hidden: int = Field(16, ge=1)
    """width of the head"""


class Gray:
    """One picture -> its gray version uint8 [3, H, W] and its mean color [3]."""

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """Mirrors half of the pictures."""
        picture = views.flip(sample.video[0, 0], generator)
        return {"gray": views.gray(picture, generator, 1.0), "color": picture.float().mean((1, 2)) / 255}


class Colors(Method[Config]):
    """Regression of three numbers."""

    modalities = ("image",)

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        width = towers.width(encoders["image"])
        self.head = mlp(width, cfg.hidden, 3, 2)
        self.spaces = {"main": Space(("image",), width)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """One picture."""
        return inputs.needs(frames=1)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``gray`` uint8 [3, H, W] and ``color`` [3]."""
        return Gray()

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Mean squared error."""
        told = self.head(self.encoders["image"](batch["gray"]).vector)
        error = F.mse_loss(told.float(), batch["color"])
        return Step(error, detached({"error": error}))

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D]."""
        if modality != "image" or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.encoders["image"](x).vector)
'''
CONFIG = """# The mean color of a picture, from its gray version:
#   avssl train colors data=FOLDER -o runs/colors
method:
  name: colors
encoders:
  image: {name: small, width: 128}
"""
TEST = """import torch
from contract import tiny


def test_the_color_is_the_mean_of_all_pixels():
    run = tiny.run("colors")
    item = tiny.sample(run.needs, 3)
    made = run.kind.transform(run.cfg.method, run.inputs)(item, torch.Generator().manual_seed(0), 0.0)
    picture = item.video[0, 0].double() / 255
    wanted = [sum(float(x) for x in plane.flatten()) / plane.numel() for plane in picture]
    torch.testing.assert_close(made["color"].double(), torch.tensor(wanted, dtype=torch.float64), atol=1e-5, rtol=0)
    assert all(torch.equal(made["gray"][0], plane) for plane in made["gray"])
"""
FILES = {
    "avssl/methods/image/colors.py": METHOD,
    "configs/image/colors.yaml": CONFIG,
    "tests/methods/test_colors.py": TEST,
}
WRONG = METHOD.replace("class Colors", "class Shades").replace("error = F.mse_loss(", "error = 0 * F.mse_loss(")
"""learns nothing; and there is no test of it"""
BESIDE = {
    "avssl/methods/image/shades.py": WRONG,
    "configs/image/shades.yaml": CONFIG.replace("colors", "shades"),
}


def house(folder, files):
    """A copy of the house without its methods, and these files in it."""

    def left_out(where, names):
        place = Path(where).relative_to(ROOT).parts
        inside = place[:2] == ("avssl", "methods") and len(place) == 3
        return [name for name in names if name == "__pycache__" or (inside and not name.startswith("_"))]

    shutil.copytree(ROOT / "avssl", folder / "avssl", ignore=left_out)
    for name in ("pyproject.toml", "tests/conftest.py", "tests/made_media.py", "tests/test_catalogue.py",
                 "tests/contract/tiny.py", "tests/contract/test_methods.py"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def outcomes(folder, chosen):
    """Test -> passed or failed, of the chosen ones in a house; and all that pytest says."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "tests")])}
    words = ["-p", "no:cacheprovider", "-rA", "--tb=line", "--rootdir", str(folder), "-k", chosen, "tests"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith(("PASSED", "FAILED", "ERROR"))]
    return {line[1]: line[0].lower() for line in lines}, done.stdout + done.stderr


def test_three_files_make_a_method_that_the_laws_find(tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert all(name in text for name in FILES), "what CONTRIBUTING calls them"
    house(tmp_path, {**FILES, **BESIDE})
    found, told = outcomes(tmp_path, "colors or (shades and (law_2 or law_5 or golden))")
    assert WRONG.count("Shades") == WRONG.count("0 * F") == 1

    right = {test: how for test, how in found.items() if "colors" in test}
    assert set(right.values()) == {"passed"}, told
    wanted = {f"law_{number}_" for number in range(1, 11)} | {"one_short_file", "opens_with_the_task", "golden_test"}
    assert {word for word in wanted if any(word in test for test in right)} == wanted
    assert any("test_the_color_is_the_mean" in test for test in right)

    failed = {word for word in wanted if any(word in test and how == "failed" for test, how in found.items())}
    assert {"law_2_", "law_5_", "golden_test"} <= failed, "one that learns nothing, and that nothing tests"
