#!/usr/bin/env python3
"""Runs the services of a compose file with plain podman, where neither Docker nor systemd is there.

Reads the file as `podman-compose config` prints it, on standard input: variables are filled in, a missing one is an error
of podman-compose. Health checks are run by this program, since podman leaves them to systemd.

usage: compose.py PROJECT up [--port 8000=18000]... [--mount SERVICE:SOURCE:TARGET]... [--env SERVICE:NAME=VALUE]...
                             [SERVICE]...
       compose.py PROJECT run SERVICE
       compose.py PROJECT down [--volumes]

`up` starts the services without a profile, or those that are named, of any profile, and what they depend on. `run` runs
one to its end. Services that are built share the image localhost/PROJECT_reprise.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

import yaml


def podman(*words, check=True):
    """The output of a podman command."""
    done = subprocess.run(["podman", *words], capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"podman {' '.join(words)}\n{done.stdout}{done.stderr}")
    return done


def seconds(text):
    """Seconds of a duration such as 1m30s."""
    total, digits = 0, ""
    for char in str(text):
        if char.isdigit():
            digits += char
        else:
            total, digits = total + int(digits) * {"s": 1, "m": 60, "h": 3600}[char], ""
    return total + int(digits or 0)


def config_file(content):
    """A file with the content of an entry of `configs`, which every user may read."""
    with tempfile.NamedTemporaryFile("w", prefix="compose-config-", delete=False) as file:
        # podman-compose prints a dollar as it is written.
        file.write(content.replace("$$", "$"))
        os.fchmod(file.fileno(), 0o644)
    return file.name


def run_words(project, compose, name, arguments):
    """The arguments of `podman run` for a service, behind `run`."""
    service = compose["services"][name]
    words = ["--name", f"{project}_{name}", "--network", project, "--network-alias", name]
    # Limits that this machine may not raise.
    words += ["--ulimit", "host"]
    environment = service.get("environment") or {}
    if isinstance(environment, list):
        environment = dict(line.partition("=")[::2] for line in environment)
    extra = [line.partition(":")[2] for line in arguments.env if line.startswith(f"{name}:")]
    for key, value in [*environment.items(), *(line.partition("=")[::2] for line in extra)]:
        # A variable without a value is one of the caller's environment, or none.
        words += ["--env", key if value is None else f"{key}={value}"]
    for volume in service.get("volumes", []):
        source, _, rest = volume.partition(":")
        if source.startswith(("/", ".")):
            # As Docker does.
            os.makedirs(source, exist_ok=True)
        words += ["--volume", volume if source.startswith(("/", ".")) else f"{project}_{source}:{rest}"]
    for mount in arguments.mount:
        of, _, volume = mount.partition(":")
        words += ["--volume", volume] if of == name else []
    ports = dict(line.split("=") for line in arguments.port)
    for port in service.get("ports", []):
        address, host, inside = port.split(":")
        words += ["--publish", f"{address}:{ports.get(host, host)}:{inside}"]
    if service.get("read_only"):
        # Without the writable /tmp that podman adds, as Docker has none.
        words += ["--read-only", "--read-only-tmpfs=false"]
    words += [f"--cap-drop={cap}" for cap in service.get("cap_drop", [])]
    words += [f"--security-opt={option.replace(':true', '')}" for option in service.get("security_opt", [])]
    words += ["--stop-timeout", str(seconds(service.get("stop_grace_period", "10s")))]
    words += ["--user", service["user"]] if "user" in service else []
    for path in service.get("tmpfs", []):
        words += ["--tmpfs", path]
    for config in service.get("configs", []):
        file = config_file(compose["configs"][config["source"]]["content"])
        words += ["--volume", f"{file}:{config['target']}:ro"]
    words += [service.get("image") or f"localhost/{project}_reprise"]
    command = service.get("command", [])
    return words + (command.split() if isinstance(command, str) else command)


def wait_until_healthy(project, name, service):
    """Runs the health check of a service until it succeeds, or the container has ended."""
    check = service.get("healthcheck", {}).get("test")
    if not check:
        return
    tries = 3 * (seconds(service["healthcheck"].get("start_period", "0s")) + 30)
    for _ in range(tries):
        if podman("exec", f"{project}_{name}", *check[1:], check=False).returncode == 0:
            return
        state = podman("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", f"{project}_{name}").stdout
        if not state.startswith(("running", "created", "starting")):
            break
        time.sleep(0.3)
    log = podman("logs", f"{project}_{name}", check=False)
    sys.exit(f"{name} is not healthy\n{log.stdout}{log.stderr}")


def chosen(compose, names):
    """The services that are to run: those of these names, or all without a profile, and what they depend on."""
    services = compose["services"]
    names = list(names or (name for name, service in services.items() if not service.get("profiles")))
    for name in names:
        names += [other for other in services[name].get("depends_on") or [] if other not in names]
    return {name: services[name] for name in services if name in names}


def up(project, compose, arguments):
    podman("network", "create", project, check=False)
    started = set()
    waiting = chosen(compose, arguments.services)
    while waiting:
        ready = [name for name, service in waiting.items() if set(service.get("depends_on") or []) <= started]
        for name in ready:
            service = waiting.pop(name)
            podman("rm", "--force", "--time", "0", f"{project}_{name}", check=False)
            podman("run", "--detach", *run_words(project, compose, name, arguments))
            wait_until_healthy(project, name, service)
            started.add(name)


def run(project, compose, arguments):
    [name] = arguments.services
    print(podman("run", "--rm", *run_words(project, compose, name, arguments)).stdout, end="")


def down(project, compose, arguments):
    for name in reversed(list(compose["services"])):
        podman("stop", f"{project}_{name}", check=False)
        podman("rm", "--force", f"{project}_{name}", check=False)
    podman("network", "rm", "--force", project, check=False)
    for volume in compose.get("volumes", {}) if arguments.volumes else []:
        podman("volume", "rm", "--force", f"{project}_{volume}")


parser = argparse.ArgumentParser()
parser.add_argument("project")
parser.add_argument("action", choices=["up", "run", "down"])
parser.add_argument("services", nargs="*")
for option in ["--port", "--mount", "--env"]:
    parser.add_argument(option, action="append", default=[])
parser.add_argument("--volumes", action="store_true")
arguments = parser.parse_args()
{"up": up, "run": run, "down": down}[arguments.action](arguments.project, yaml.safe_load(sys.stdin), arguments)
