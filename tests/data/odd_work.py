"""Work for processes that may die; at module level, because they import it by name."""

import os
import signal
import time


def look(task: str) -> str:
    """Does what the task says."""
    if task == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if task == "leave":
        os._exit(3)
    if task == "hang":
        time.sleep(600)
    if task == "memory":
        return str(len(bytearray(64 << 30)))
    if task == "value":
        raise ValueError("not\nthis")
    if task == "other":
        raise KeyError("that")
    return task.upper()
