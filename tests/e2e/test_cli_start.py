"""The command as a process of its own: help without torch, its version, and a traceback where one is asked for."""

import re
import subprocess
import sys

from user_home import shell


def test_help_needs_no_torch():
    """Neither help nor completion may wait for torch: about a tenth of a second, where torch alone takes two."""
    code = (
        "import sys\n"
        "from avssl.cli import run\n"
        "assert run(['--help']) == 0\n"
        "for name in ('search', 'train', 'embed'): assert run([name, '--help']) == 0\n"
        "wrong = {name for name in sys.modules if name.split('.')[0] in ('torch', 'av', 'matplotlib')}\n"
        "assert not wrong, sorted(wrong)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_version_and_module():
    done = shell("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"avssl \d+\.\d+\.\d+\n", done.stdout)


def test_debug_shows_the_traceback():
    done = shell("methods", "nothing", AVSSL_DEBUG="1")
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    done = shell("methods", "nothing")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
