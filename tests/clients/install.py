"""Installs the clients into target/clients, with the versions that the lock files pin."""

import concurrent.futures
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
INSTALLED = TARGET.resolve() / "clients"
# Installs what a lock file lists, faster than pip.
UV = "uv==0.13.9"


class Unavailable(Exception):
    """Clients that cannot be installed here, or not now."""


def all_of(places, seconds):
    """Installs what the places need that is not there, in at most this time."""
    if sys.version_info < (3, 11):
        raise Unavailable("Python 3.11 or newer is needed")
    if not shutil.which("npm") or not shutil.which("node"):
        raise Unavailable("node and npm are needed")
    deadline = time.monotonic() + seconds
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda place: _one(place, deadline), sorted(places)))


def _one(place, deadline):
    """Installs a place: `python/NAME.txt` is a lock file for a virtual environment, `node` and the like a folder of npm."""
    source, target = HERE / place, INSTALLED / place.removesuffix(".txt")
    lock = source if source.is_file() else source / "package-lock.json"
    stamp, wanted = target / "installed", hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    if source.is_file():
        python = target / "bin" / "python"
        _command([sys.executable, "-m", "venv", target], deadline)
        _command([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV], deadline)
        _command([target / "bin" / "uv", "pip", "install", "--quiet", "--python", python, "--requirements", lock], deadline)
    else:
        for name in ["package.json", "package-lock.json"]:
            shutil.copy(source / name, target)
        _command(["npm", "ci", "--silent", "--no-audit", "--no-fund"], deadline, cwd=target)
    stamp.write_text(wanted)


def _command(command, deadline, cwd=None):
    try:
        done = subprocess.run(command, cwd=cwd, timeout=max(deadline - time.monotonic(), 1), capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the registry is too slow: {' '.join(map(str, command[:3]))} did not end in time") from None
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no reason").splitlines()[-1]
        raise Unavailable(f"{' '.join(map(str, command[:3]))} failed: {last}")


def reprise():
    """The program: `REPRISE`, or what cargo builds."""
    if "REPRISE" in os.environ:
        return pathlib.Path(os.environ["REPRISE"]).resolve()
    subprocess.run(["cargo", "build", "--locked"], cwd=ROOT, check=True)
    return TARGET.resolve() / "debug" / "reprise"
