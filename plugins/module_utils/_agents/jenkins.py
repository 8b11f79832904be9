# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jenkins: agents (``-workDir`` of ``agent.jar`` and of the Swarm client) and controllers (``JENKINS_HOME``).

An agent's place stands only on its command line (jenkinsci/remoting hudson.remoting.Launcher, ``-workDir``; the Swarm
plugin's ``-fsroot``), so services, running processes and the traces that an agent leaves in a home are looked at. The
command line also holds ``-secret``, which is never returned.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import Dict, List, Tuple

from ._base import (
    Collector,
    Host,
    Inspection,
    Process,
    Root,
    Setting,
    Unreadable,
    option,
    parse_shell_assignments,
    read_text,
    substitute,
)

SYSTEM = "jenkins"
_AGENT_JARS = ("agent.jar", "remoting.jar", "slave.jar", "swarm-client.jar")
_DEFAULTS = ("/etc/default/jenkins", "/etc/sysconfig/jenkins", "/etc/conf.d/jenkins", "/etc/default/jenkins-agent")


def _command(argv: Tuple[str, ...]) -> Tuple[str, ...]:
    """*argv*, or the command inside it where a shell was asked to run one (``sh -c "exec java -jar agent.jar"``)."""
    if len(argv) >= 3 and posixpath.basename(argv[0]) in ("sh", "bash", "dash") and argv[1] in ("-c", "-lc", "-ec"):
        try:
            words = shlex.split(argv[2])
        except ValueError:
            return ()
        return tuple(words[1:] if words[:1] == ["exec"] else words)
    return argv


def _is_agent(argv: Tuple[str, ...]) -> bool:
    argv = _command(argv)
    if not argv or (posixpath.basename(argv[0]) not in ("jenkins-agent", "jenkins-slave") and "java" not in argv[0]):
        return False
    for word in argv:
        name = posixpath.basename(word)
        if name in _AGENT_JARS or word == "hudson.remoting.jnlp.Main" or re.match(r"swarm-client[\w.-]*\.jar\Z", name):
            return True
    return posixpath.basename(argv[0]) in ("jenkins-agent", "jenkins-slave")


def _is_controller(argv: Tuple[str, ...]) -> bool:
    argv = _command(argv)
    if not argv:
        return False
    return posixpath.basename(argv[0]) == "jenkins" or any(posixpath.basename(word) == "jenkins.war" for word in argv)


def _java_property(argv: Tuple[str, ...], name: str) -> str:
    for word in argv:
        if word.startswith("-D%s=" % name):
            return word[len(name) + 3 :]
    return ""


def _agent_place(argv: Tuple[str, ...]) -> str:
    argv = _command(argv)
    return option(argv, "-workDir", "--workDir", "-workdir") or option(argv, "-fsroot", "--fsroot")


def _controller(found: Collector, home: str, source: str) -> None:
    """JENKINS_HOME and, where its configuration moves the workspaces elsewhere, that folder."""
    host = found.host
    if not found.root(home, "JENKINS_HOME", source):
        return
    path = host.path(posixpath.join(home, "config.xml"))
    try:
        text = read_text(path)
    except FileNotFoundError:
        return
    except Unreadable as exc:
        found.saw("config", path)
        found.unreadable(exc)
        return
    found.saw("config", path)
    # A pattern instead of an XML parser: the file belongs to another account, and one element is wanted.
    match = re.search(r"<workspaceDir>([^<&]*)</workspaceDir>", text)
    if match is not None:
        place = substitute(match.group(1).strip(), {"JENKINS_HOME": home})
        if not place.startswith(home + "/"):
            found.root(place, "workspaceDir of Jenkins", path)


def inspect(host: Host) -> Inspection:
    """What Jenkins' files and processes on *host* say; raises nothing for what is missing or broken."""
    found = Collector(host, SYSTEM)
    homes: Dict[str, str] = {}
    for plain in _DEFAULTS:
        path = host.path(plain)
        try:
            values, unknown = parse_shell_assignments(read_text(path))
        except FileNotFoundError:
            continue
        except Unreadable as exc:
            found.saw("config", path)
            found.unreadable(exc)
            continue
        found.saw("config", path)
        found.environ(values, path, "the service's defaults", account=values.get("JENKINS_USER", ""), unknown=unknown)
        found.account(values.get("JENKINS_USER", ""))
        if values.get("JENKINS_HOME"):
            homes.setdefault(values["JENKINS_HOME"], path)
        for name in ("JENKINS_AGENT_WORKDIR", "JENKINS_AGENT_HOME"):
            if values.get(name):
                found.root(values[name], "%s in %s" % (name, path), path)
    for unit in host.units():
        agent, controller = _is_agent(unit.argv), _is_controller(unit.argv) or unit.name == "jenkins.service"
        if not agent and not controller:
            continue
        found.saw("unit", unit.path)
        found.account(unit.user)
        found.environ(unit.environ, unit.path, "the service", account=unit.user)
        home = _java_property(unit.argv, "JENKINS_HOME") or unit.environ.get("JENKINS_HOME", "")
        if home and not agent:
            homes.setdefault(home, unit.path)
        if agent:
            place = _agent_place(unit.argv) or unit.environ.get("JENKINS_AGENT_WORKDIR", "") or unit.workdir
            if place:
                found.root(place, "workDir of the Jenkins agent", unit.path)
            else:
                found.found(
                    "ci-without-configuration",
                    "warning",
                    unit.path,
                    "%s: a Jenkins agent that says no -workDir; name its folder as a search root" % unit.path,
                )

    def matches(process: Process) -> bool:
        return _is_agent(process.argv) or _is_controller(process.argv)

    for process in found.process_settings(matches):
        if process.contained:
            found.found(
                "runner-in-container",
                "info",
                "",
                "process %d is Jenkins in a container; name its volumes as search roots" % process.pid,
            )
            continue
        if _is_agent(process.argv):
            place = _agent_place(process.argv) or host.process_environ(process).get("JENKINS_AGENT_WORKDIR", "")
            if place:
                found.root(place, "workDir of the running Jenkins agent", "")
        else:
            home = _java_property(process.argv, "JENKINS_HOME") or host.process_environ(process).get("JENKINS_HOME", "")
            if home:
                homes.setdefault(home, "")
    for entry in host.accounts():
        # An agent that the controller starts through SSH leaves its jar and the folder "remoting" in its remote root.
        left = [
            name for name in ("remoting.jar", "agent.jar", "remoting") if host.exists(entry.plain_home + "/" + name)
        ]
        if entry.name in ("jenkins", "jenkins-agent") or left:
            what = entry.home + "/" + left[0] if left else entry.home
            found.saw("folder", what)
            found.account(entry.name)
            if entry.plain_home not in homes:
                found.root(entry.plain_home, "home of %s, where a Jenkins agent or controller works" % entry.name, "")
    for plain in ("/var/lib/jenkins", "/var/jenkins_home", "/home/jenkins/agent"):
        if host.is_dir(plain):
            found.saw("folder", host.path(plain))
            homes.setdefault(plain, "")
    for home in sorted(homes):
        if home.startswith("/") and "$" not in home:
            _controller(found, posixpath.normpath(home), homes[home])
        else:
            found.root(home, "JENKINS_HOME", homes[home])
    if found.evidence and not found.roots:
        found.found(
            "ci-without-configuration",
            "warning",
            found.evidence[0].path,
            "Jenkins is on this host (%s), but nothing says where it works" % found.evidence[0].path,
        )
    return found.result()


def search_roots(root: str = "/") -> List[Root]:
    """Work folders of Jenkins agents and controllers below the prefix *root*."""
    return inspect(Host(root)).roots


def environ(root: str = "/") -> List[Setting]:
    """Go variables that Jenkins' services and defaults files give to jobs."""
    return inspect(Host(root)).settings
