#!/usr/bin/env python3
"""Makes the Python that tests and peers run under, with the packages of a file, and prints its path.

get_python.py [REQUIREMENTS]        those of the tests where none is given

It stands in our own cache ($XDG_CACHE_HOME/bioxen, else ~/.cache/bioxen), under the digest of the requirements and of
this Python, so that it is made once for each. Needs Python's standard library with venv.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("requirements.txt")


def place():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    made_of = REQUIREMENTS.read_bytes() + sys.version.encode() + sys.executable.encode()
    return Path(base) / "bioxen" / f"python-{hashlib.sha256(made_of).hexdigest()[:16]}"


def run(command, problem):
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode != 0:
        lines = (told.stderr or told.stdout).strip().splitlines() or ["it said nothing"]
        sys.exit(f"get_python: {problem} ({lines[-1]})")


def make(venv):
    # Left by a run that was interrupted.
    shutil.rmtree(venv, ignore_errors=True)
    run(
        [sys.executable, "-m", "venv", venv],
        "this Python cannot make a virtual environment: install python3-venv "
        "(Debian, Ubuntu: apt-get install python3-venv)",
    )
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(
        [*pip, "--only-binary=:all:", "-r", REQUIREMENTS],
        f"pip could not install {REQUIREMENTS}: check the network and this machine's package index",
    )
    (venv / "complete").touch()


def main():
    venv = place()
    venv.parent.mkdir(parents=True, exist_ok=True)
    # Two test runs at once make it once.
    with open(venv.parent / "python.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (venv / "complete").exists():
            make(venv)
    print(venv / "bin" / "python")


if __name__ == "__main__":
    main()
