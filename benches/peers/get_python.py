#!/usr/bin/env python3
"""Makes the Python that the peers of `make bench-peers` run under, and prints its path.

It stands in target/peers-python, apart from every other environment. Prints nothing, and says why on standard error,
where it cannot be made: the peers in Python are then left out.
"""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
VENV = HERE.parent.parent / "target" / "peers-python"
# What it was made from, so that other requirements make it anew.
MADE_FROM = VENV / "made-from.txt"


def run(command, problem):
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode != 0:
        lines = (told.stderr or told.stdout).strip().splitlines() or ["it said nothing"]
        shutil.rmtree(VENV, ignore_errors=True)
        print(f"get_python: {problem} ({lines[-1]})", file=sys.stderr)
        sys.exit(0)


def main():
    wanted = REQUIREMENTS.read_text(encoding="utf-8") + sys.version
    if not MADE_FROM.exists() or MADE_FROM.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(VENV, ignore_errors=True)
        run(
            [sys.executable, "-m", "venv", VENV],
            "this Python cannot make a virtual environment: install python3-venv (Debian, Ubuntu: apt-get install "
            "python3-venv)",
        )
        pip = [VENV / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run(
            [*pip, "--retries", "1", "--only-binary=:all:", "-r", REQUIREMENTS],
            "pip could not install the peers: check the network and this machine's package index",
        )
        MADE_FROM.write_text(wanted, encoding="utf-8")
    print(VENV / "bin" / "python")


if __name__ == "__main__":
    main()
