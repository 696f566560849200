"""What ``make`` says before it installs on a disk that is too small."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from room import refusal

ROOT = Path(__file__).resolve().parents[1]


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "room.py"), str(tmp_path / "new" / "venv"), "1e9"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"{tmp_path}: ")
    assert "needs 1e+09; make room" in done.stderr


def test_room_enough_is_no_matter(tmp_path: Path) -> None:
    assert refusal(tmp_path / "venv", 0.0) is None


def test_an_environment_that_is_there_needs_no_more(tmp_path: Path) -> None:
    torch = tmp_path / "lib" / "python3.11" / "site-packages" / "torch"
    torch.mkdir(parents=True)
    assert refusal(tmp_path, 1e9) is not None
    (torch / "__init__.py").touch()
    assert refusal(tmp_path, 1e9) is None


def test_make_asks_before_it_installs() -> None:
    recipe = (ROOT / "Makefile").read_text().split("$(READY): ")[1].split("\n\n")[0]
    assert recipe.index("scripts/room.py") < recipe.index("-m venv") < recipe.index("$(INSTALL)")
