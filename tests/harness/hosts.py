# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test hosts with systemd as their first process: containers that are reached by ssh, as an agent is.

They need root, podman, runc and debootstrap, and a mirror of Debian packages the first time. No container image is
pulled: the hosts share one root file system, made by debootstrap below ``.build`` and never written to; each host
writes to an overlay of its own, which goes with the host.

* runc, because crun refuses hosts with both versions of control groups.
* SYS_ADMIN, because without it systemd silently ignores ProtectSystem=, ProtectHome= and ProtectProc= of a unit.
* SYS_NICE, because a unit that sets its own priority does not start without it where the tests run with a lower one.
* Limits on memory and processes set in a unit are not enforced where the host's control groups are of version 1.

A host has Python 3, sshd, cron, sudo, setfacl, the accounts ``root`` and ``ci`` (a member of no other group), and
the Go that the tests use in ``/usr/local/go``, read-only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import env

SUITE = "bookworm"
PACKAGES = (
    "acl",
    "ca-certificates",
    "cron",
    "dbus",
    "iproute2",
    "openssh-server",
    "procps",
    "psmisc",
    "python3",
    "sudo",
    "systemd",
    "systemd-sysv",
)
#: Done inside the root file system, once.
SETUP = r"""
set -eu
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends @PACKAGES@
rm /usr/sbin/policy-rc.d
useradd --create-home --shell /bin/bash ci
printf 'PermitRootLogin prohibit-password\nUseDNS no\n' > /etc/ssh/sshd_config.d/test.conf
: > /etc/machine-id
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/locale/* /usr/share/man/*
"""
#: podman's own file may lack these; the variable CONTAINERS_CONF replaces that file.
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:8192"]
[engine]
runtime = "runc"
"""
NEEDED_PROGRAMS = ("podman", "runc", "debootstrap", "chroot", "ssh", "ssh-keygen")


@dataclass(frozen=True)
class Fleet:
    """Hosts that are up, and the folder with the inventory, the key and podman's settings."""

    names: tuple[str, ...]
    folder: Path

    @property
    def inventory(self) -> Path:
        """The inventory file: all hosts are in the group ``agents``."""
        return self.folder / "inventory.yml"


def wants() -> str:
    """Return what this machine lacks for test hosts, or nothing."""
    missing = [name for name in NEEDED_PROGRAMS if not shutil.which(name, path=_environ()["PATH"])]
    return ", ".join((["root"] if os.geteuid() else []) + missing)


def _environ(folder: Path | None = None) -> dict[str, str]:
    environ = env.clean_environ(env.BUILD / "home")
    if folder:
        environ["CONTAINERS_CONF"] = str(folder / "containers.conf")
    return environ


def _run(command: Sequence[str | Path], folder: Path | None = None, text: str | None = None) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        env=_environ(folder),
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


def root_file_system() -> Path:
    """Return the hosts' root file system, made now when missing or when its recipe changed.

    The mirror is debootstrap's own, or the one in GOFLEET_TEST_DEBIAN_MIRROR.
    """
    script = SETUP.replace("@PACKAGES@", " ".join(PACKAGES))
    recipe = hashlib.sha256(f"{SUITE}\n{script}".encode()).hexdigest()[:12]
    target = env.BUILD / f"agent-{recipe}"
    with env.locked("agent"):
        if target.is_dir():
            return target
        for old in env.BUILD.glob("agent-*"):
            shutil.rmtree(old)
        draft = env.BUILD / f"agent-{recipe}.new"
        mirror = os.environ.get("GOFLEET_TEST_DEBIAN_MIRROR")
        base = ["debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, str(draft)]
        if draft.exists():
            shutil.rmtree(draft)
        try:
            _run(base + ([mirror] if mirror else []))
            _run(["chroot", draft, "sh"], text=script)
        except RuntimeError as exc:
            last = str(exc).strip().splitlines()[-1]
            raise env.WantError(f"a mirror of Debian packages that debootstrap and apt-get can use ({last})") from exc
        draft.rename(target)
    return target


def up(count: int, folder: Path, goroot: Path | None = None) -> Fleet:
    """Start ``count`` hosts and return them once systemd and sshd of each are ready.

    ``folder`` takes the inventory and the key; it must exist. ``goroot`` is mounted read-only at /usr/local/go.
    Raises WantError where the machine lacks something, RuntimeError where a host does not come up.
    """
    missing = wants()
    if missing:
        raise env.WantError(missing)
    rootfs = root_file_system()
    _remove_stale()
    (folder / "containers.conf").write_text(CONTAINERS_CONF, encoding="ascii")
    key = folder / "key"
    _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "gofleet.cache tests", "-f", key])
    names = tuple(f"gofleet-{os.getpid()}-{number}" for number in range(1, count + 1))
    fleet = Fleet(names, folder)
    try:
        for name in names:
            command = ["podman", "run", "--detach", "--systemd=always", "--name", name]
            command += ["--cap-add=SYS_ADMIN", "--cap-add=SYS_NICE"]
            command += ["--hostname", name, "--label", "gofleet.cache=test"]
            if goroot:
                command += ["--volume", f"{goroot}:/usr/local/go:ro"]
            _run([*command, "--rootfs", f"{rootfs}:O", "/sbin/init"], folder)
        addresses = {name: _wait_until_ready(name, folder) for name in names}
    except BaseException:
        down(fleet)
        raise
    _write_inventory(fleet, addresses)
    return fleet


def _remove_stale() -> None:
    """Remove hosts whose program was killed before it could remove them; their names hold its process number."""
    listing = _run(["podman", "ps", "--all", "--filter", "label=gofleet.cache=test", "--format", "{{.Names}}"])
    for name in listing.split():
        number = name.split("-")[1]
        if not Path("/proc", number).exists():
            _run(["podman", "rm", "--force", "--ignore", "--time", "5", name])


def _wait_until_ready(name: str, folder: Path, seconds: float = 300) -> str:
    public = (folder / "key.pub").read_text(encoding="ascii")
    end = time.monotonic() + seconds
    while True:
        probe = "systemctl is-system-running --wait >/dev/null; systemctl is-active ssh"
        done = subprocess.run(
            ["podman", "exec", name, "sh", "-c", probe],
            env=_environ(folder),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.stdout.strip() == "active":
            break
        if time.monotonic() > end:
            raise RuntimeError(f"{name} was not ready within {seconds:.0f} s: {done.stdout}{done.stderr}")
        time.sleep(0.5)
    install = "umask 077; mkdir -p /root/.ssh; cat > /root/.ssh/authorized_keys"
    _run(["podman", "exec", "--interactive", name, "sh", "-c", install], folder, text=public)
    return _run(["podman", "inspect", "--format", "{{.NetworkSettings.IPAddress}}", name], folder).strip()


def _write_inventory(fleet: Fleet, addresses: dict[str, str]) -> None:
    known = fleet.folder / "known_hosts"
    options = f"-o UserKnownHostsFile={known} -o StrictHostKeyChecking=no -o LogLevel=ERROR -o IdentitiesOnly=yes"
    inventory = {
        "all": {
            "children": {
                "agents": {
                    "hosts": {
                        f"agent-{number}": {"ansible_host": addresses[name], "gofleet_test_container": name}
                        for number, name in enumerate(fleet.names, 1)
                    },
                    "vars": {
                        "ansible_connection": "ssh",
                        "ansible_user": "root",
                        "ansible_ssh_private_key_file": str(fleet.folder / "key"),
                        "ansible_ssh_common_args": options,
                        "ansible_python_interpreter": "/usr/bin/python3",
                        # One message for each task instead of five.
                        "ansible_pipelining": True,
                    },
                }
            }
        }
    }
    # JSON is YAML too, and needs no library.
    fleet.inventory.write_text(json.dumps(inventory, indent=2) + "\n", encoding="ascii")


def down(fleet: Fleet) -> None:
    """Remove the hosts and all they wrote; hosts that are gone already are fine."""
    for name in fleet.names:
        _run(["podman", "rm", "--force", "--ignore", "--time", "5", name], fleet.folder)


@contextmanager
def fleet(count: int, folder: Path, goroot: Path | None = None) -> Iterator[Fleet]:
    """Hosts for the time of a ``with`` block."""
    hosts = up(count, folder, goroot)
    try:
        yield hosts
    finally:
        down(hosts)
