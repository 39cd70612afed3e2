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


def target(place):
    """The folder that a place is installed in."""
    return INSTALLED / place.removesuffix(".txt")


def _one(place, deadline):
    """Installs a place: `python/NAME.txt` is a lock file for a virtual environment, `node` and the like a folder of npm."""
    source, installed = HERE / place, target(place)
    lock = source if source.is_file() else source / "package-lock.json"
    stamp, wanted = installed / "installed", hashlib.sha256(lock.read_bytes()).hexdigest()
    if not (stamp.is_file() and stamp.read_text() == wanted):
        shutil.rmtree(installed, ignore_errors=True)
        installed.mkdir(parents=True)
        if source.is_file():
            _python(installed, lock, deadline)
        else:
            for name in ["package.json", lock.name]:
                shutil.copy(source / name, installed)
            _command(["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], deadline, cwd=installed)
        stamp.write_text(wanted)
    # Node looks for packages beside a program.
    for program in source.glob("*.mjs"):
        shutil.copy(program, installed)


def _python(installed, lock, deadline):
    """A virtual environment with what a lock file lists."""
    python = installed / "bin" / "python"
    _command([sys.executable, "-m", "venv", installed], deadline)
    _command([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV], deadline)
    _command([installed / "bin" / "uv", "pip", "install", "--quiet", "--python", python, "--requirements", lock], deadline)


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
