# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole job on an embedded fleet of three agents on this machine: its steps, and what each must show."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

from demo import fleet, play, procs, report, watch
from demo.fleet import Agent, Build, BuildLoop, DemoError
from demo.report import count, size
from fixtures import goproxy

from harness import env, tree

ROOT = env.ROOT
FOLDER = ROOT / ".build" / "demo"
#: After set-up, in seconds.
LIMIT = 120
#: Directories and lock files that a purge may add or drop, in bytes of one cache.
SLACK = 256 * 1024


class Demo:
    """The sequence of steps; what each agent showed is collected in ``facts``."""

    def __init__(self, out: report.Report, processes: procs.Processes, go: Path) -> None:
        self.out = out
        self.processes = processes
        self.go = go
        self.begin = time.time()
        self.ansible = play.Ansible(ROOT, FOLDER, processes)
        self.agents = [
            Agent(name, FOLDER / "agents" / name, go, processes, self.begin + fleet.AHEAD if "old" in name else None)
            for name in fleet.PROJECTS
        ]
        self.facts: dict[str, dict[str, Any]] = {agent.name: {} for agent in self.agents}
        self.damage: dict[str, str] = {}
        self.builds: list[Build] = []

    def agent(self, name: str) -> Agent:
        return next(agent for agent in self.agents if agent.name == name)

    def run(self) -> None:
        """All steps, in their order."""
        out = self.out
        with out.step("Make the fleet: a module proxy as a folder, three agents with their own HOME"):
            self.make()
        with out.step("Configure Go on the agents (playbook gofleet.cache.configure)"):
            self.configure()
        with out.step("Build, vet and test real programs, so that the caches fill"):
            self.fill()
        with out.step("Survey (playbook gofleet.cache.survey)"):
            self.survey()
        with out.step("What would a purge do? (playbook gofleet.cache.purge --check)"):
            self.check()
        with out.step("Purge, while builds run on agent-busy (playbook gofleet.cache.purge)"):
            self.purge()
        with out.step("Verify what is left (playbook gofleet.cache.verify)"):
            self.verify()
        with out.step("Build the programs again, without any proxy"):
            self.rebuild()
        with out.step("Purge again, until nothing is left to do"):
            self.again()

    # the steps

    def make(self) -> None:
        self.proxy = goproxy.make_proxy(FOLDER / "proxy", fleet.modules())
        hosts = {}
        for agent in self.agents:
            agent.make()
            for group in fleet.PROJECTS[agent.name]:
                for project in group:
                    agent.write_project(project)
            hosts[agent.name] = {"demo_home": str(agent.home)}
        common = {"demo_folder": str(FOLDER), "demo_proxy": (FOLDER / "proxy").as_uri()}
        self.ansible.set_up({name: common | own for name, own in hosts.items()})
        private = sum(1 for module in self.proxy.modules if module.private)
        self.out.row("proxy", f"{count(len(self.proxy.modules), 'module version')}, {private} of them private")
        self.out.row("agent-old", "entries that nothing has used for months, beside what is built every day")
        self.out.row("agent-damaged", "one changed byte in a module, one in the build cache")
        self.out.row("agent-busy", "builds run while it is purged")

    def run_playbook(self, playbook: str, *arguments: str, label: str = "", fails: bool = False) -> play.Run:
        """Runs a playbook that must not fail, or whose failure is judged by the caller."""
        run = self.ansible.play(playbook, *arguments, label=label)
        if run.code and not fails:
            tail = "\n".join(run.log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:])
            raise DemoError(f"the playbook {playbook} ended with {run.code}; the end of {run.log}:\n{tail}")
        return run

    def configure(self) -> None:
        account = ["-e", '{"go_config_accounts": ["root"]}'] if os.geteuid() == 0 else []
        run = self.run_playbook("configure", *account)
        url = (FOLDER / "proxy").as_uri()
        rows: dict[str, str] = {}
        for agent in self.agents:
            changed = run.result(agent.name, "go_env")["changed"]
            self.out.check(changed, f"{agent.name}: its Go env file was written")
            where = FOLDER / "agents" / agent.name
            done = self.processes.run([str(agent.go), "env", "GOPROXY", "GOPRIVATE"], where, agent.environ())
            self.out.check(
                done.output.split() == [f"{url},off", "git.corp.example"],
                f"{agent.name}: its own go command uses these settings",
                done.output,
            )
            file = (agent.home / ".config" / "go" / "env").relative_to(agent.folder)
            names = [line.partition("=")[0] for line in (agent.folder / file).read_text(encoding="utf-8").splitlines()]
            rows[f"{file}: {', '.join(name for name in names if name.isupper())}"] = agent.name
        for text in rows:
            self.out.row("all", text)

    def fill(self) -> None:
        def work(agent: Agent) -> None:
            past, present = fleet.PROJECTS[agent.name]
            for project in past:
                agent.artefacts[project.name] = agent.build_all(project)
            agent.age(fleet.LONG_UNUSED)
            since = time.time()
            for project in present:
                agent.artefacts[project.name] = agent.build_all(project)
            agent.keep_fresh(present, since)

        fleet.in_parallel(self.agents, work)
        self.damage = self.agent("agent-damaged").damage(fleet.BATCH)
        for agent in self.agents:
            past, present = ([p.name for p in group] for group in fleet.PROJECTS[agent.name])
            text = f"built long ago: {', '.join(past)}; built today: {', '.join(present)}"
            if agent.clock is not None:
                text += f". Its clock is {fleet.AHEAD // fleet.DAY} days ahead for the playbooks, because the time at "
                text += "which a module arrived cannot be set back"
            self.out.row(agent.name, text)
        self.out.row("agent-damaged", f"now damaged: {self.damage['module']}, and the output {self.damage['output']}")

    def survey(self) -> None:
        run = self.run_playbook("survey")
        for agent in self.agents:
            fact = self.facts[agent.name]
            result = run.result(agent.name, "cache_info")
            caches = {cache["kind"]: cache for cache in result["caches"]}
            paths = sorted(cache["path"] for cache in result["caches"])
            self.out.check(
                paths == sorted(str(path.resolve()) for path in agent.caches),
                f"{agent.name}: the survey shows the agent's two caches and no other",
                ", ".join(paths),
            )
            if set(caches) != {"go-build", "go-mod"}:
                raise DemoError(f"{agent.name}: no build cache or no module cache was found; see {run.log}")
            told, counted = sum(cache["allocated"] for cache in caches.values()), agent.usage()
            self.out.check(told == counted, f"{agent.name}: the survey counts as du does", f"{told}, {counted} bytes")
            fact.update(before=told, before_entries=sum(cache["entries"] for cache in caches.values()))
            build, mod = caches["go-build"], caches["go-mod"]
            text = f"build cache {size(build['allocated'])} in {count(build['entries'], 'entry', 'entries')}; "
            text += f"module cache {size(mod['allocated'])}: {count(mod['trees'], 'tree')}, {count(mod['zips'], 'zip')}"
            self.out.row(agent.name, text)

    def _purge(self, *arguments: str, label: str) -> play.Run:
        # The number of agents confirms a floor below the default.
        return self.run_playbook("purge", "-e", f"gofleet_cache_confirm={len(self.agents)}", *arguments, label=label)

    def check(self) -> None:
        self.agent("agent-busy").age(fleet.LONG_UNUSED)
        before = {agent.name: agent.photograph() for agent in self.agents}
        run = self._purge("--check", label="check")
        for agent in self.agents:
            result = run.result(agent.name, "cache_prune")
            self.facts[agent.name]["plan"] = result
            self.out.check(
                agent.photograph() == before[agent.name], f"{agent.name}: check mode changed no name, no byte, no time"
            )
            text = f"would evict {entries(result['planned_entries'])}, {size(result['predicted_bytes'])}; "
            text += f"plan {result['plan_digest'][:16]}"
            self.out.row(agent.name, text)

    def purge(self) -> None:
        busy = self.agent("agent-busy")
        before = {agent.name: agent.versions() for agent in self.agents}
        loops = [BuildLoop(busy, project) for project in fleet.PROJECTS[busy.name][1]]
        over = threading.Event()

        def conduct() -> None:
            # One project is built from the moment at which the purge starts on this agent: what it uses is under the
            # floor when the purge looks. The other one starts while its entries go.
            begun = play.reached(self.ansible.logs, "purge", busy.name, "cache_prune", True)
            ended = play.reached(self.ansible.logs, "purge", busy.name, "cache_prune", False)
            procs.wait_until(lambda: begun() or over.is_set(), pause=0.05)
            loops[0].start()
            procs.wait_until(lambda: procs.flocked(busy.build) or ended() or over.is_set(), pause=0.005)
            loops[1].start()
            procs.wait_until(lambda: ended() or over.is_set(), pause=0.05)
            over.wait(1)
            for loop in loops:
                loop.stop()

        conductor = threading.Thread(target=conduct, daemon=True)
        conductor.start()
        try:
            run = self._purge(label="purge")
        finally:
            over.set()
            conductor.join()
        self.builds = [build for loop in loops for build in loop.builds]
        for agent in self.agents:
            self._judge_purge(agent, run.result(agent.name, "cache_prune"), before[agent.name])
        begin, end = run.span(busy.name, "cache_prune")
        during = [build for build in self.builds if build.start < end and build.end > begin]
        failed = [build for build in self.builds if build.error]
        self.facts[busy.name].update(builds=len(self.builds), during=len(during), builds_failed=len(failed))
        text = f"{count(len(self.builds), 'build')} with vet, {len(during)} of them while this agent was purged "
        text += f"({end - begin:.1f} s): {len(failed)} failed"
        self.out.row(busy.name, text)
        self.out.check(bool(during), f"{busy.name}: builds ran while it was purged")
        self.out.check(not failed, f"{busy.name}: no build failed during the purge", failed[0].error if failed else "")

    def _judge_purge(self, agent: Agent, result: dict[str, Any], before: tuple[set[str], set[str]]) -> None:
        out, fact = self.out, self.facts[agent.name]
        fact["purge"] = result
        fact["after"] = agent.usage()
        quiet = agent.name != "agent-busy"
        if quiet:
            same = result["plan_digest"] == fact["plan"]["plan_digest"]
            out.check(same, f"{agent.name}: the run had the digest of the dry run", result["plan_digest"])
            measured = fact["before"] - fact["after"]
            out.check(
                abs(measured - result["freed_bytes"]) <= SLACK,
                f"{agent.name}: the bytes told are the bytes freed",
                f"told {result['freed_bytes']}, counted {measured}",
            )
        evicted, planned, skipped = (result[f"{name}_entries"] for name in ("evicted", "planned", "left_out"))
        out.check(
            evicted == planned - skipped,
            f"{agent.name}: the outcome is the plan minus its named skips",
            f"{evicted} of {planned}, {skipped} skipped",
        )
        out.check(evicted > 0, f"{agent.name}: the purge found something to evict")
        out.check(not result["unreached"], f"{agent.name}: nothing was out of reach", str(result["unreached"]))
        trees, zips = (old - new for old, new in zip(before, agent.versions(), strict=True))
        private = [name for name in trees | zips if name.startswith(goproxy.PRIVATE)]
        out.check(not private, f"{agent.name}: no private module was evicted", ", ".join(private))
        fact["evicted_trees"] = sorted(trees)
        strangers = sorted({item["detail"] for item in result["left_out"] if item["reason"] == "in use"})
        text = f"evicted {entries(evicted)}, freed {size(result['freed_bytes'])}"
        if quiet:
            text += "; same plan as in check mode"
        out.row(agent.name, text + skips(result))
        if strangers:
            out.row("", f"a Go tool runs that does not say which module cache it uses: {', '.join(strangers)}")
        if trees:
            out.row("", f"extracted modules that went (they come back from their zips): {', '.join(sorted(trees))}")

    def verify(self) -> None:
        before = {agent.name: agent.photograph() for agent in self.agents}
        since = time.time()
        run = self.run_playbook("verify", fails=True)
        for agent in self.agents:
            fact, result = self.facts[agent.name], run.result(agent.name, "cache_verify")
            fact["verify"] = result
            self.out.row(agent.name, result["msg"])
            for item in result["damaged"]:
                self.out.row("", f"{item.get('module') or item['path']}: {item['problem']}")
            if agent.name == "agent-damaged":
                self._judge_damage(agent, result)
            else:
                self.out.check(result["ok"], f"{agent.name}: verification finds no damage", result["msg"])
            # The canary's build adds entries and marks others as used; verification itself changes nothing.
            after = agent.photograph()
            lost = [
                path
                for path, old in before[agent.name].items()
                if path not in after or after[path].inode != old.inode or after[path].content != old.content
            ]
            lost = [path for path in lost if os.path.basename(path) not in ("trim.txt", "testexpire.txt")]
            self.out.check(not lost, f"{agent.name}: verification repaired and changed nothing", ", ".join(lost[:3]))
            self.out.check(not result["changed"], f"{agent.name}: and says so")
        self.out.check(
            run.failed() == ["agent-damaged"], "the playbook fails on the damaged agent only", ", ".join(run.failed())
        )
        self._judge_canary(run)
        for agent in self.agents:
            agent.keep_fresh((), since)

    def _judge_damage(self, agent: Agent, result: dict[str, Any]) -> None:
        found = {(item["class"], item.get("module") or item["path"]): item for item in result["damaged"]}
        wanted = {("tree", self.damage["module"]), ("output", self.damage["output"])}
        self.out.check(
            set(found) == wanted, f"{agent.name}: verification names what is damaged and nothing else", str(list(found))
        )
        names = found.get(("tree", self.damage["module"]), {}).get("names", [])
        self.out.check(names == [self.damage["file"]], f"{agent.name}: it names the file", str(names))

    def _judge_canary(self, run: play.Run) -> None:
        canaries = {agent.name: run.result(agent.name, "go_canary") for agent in self.agents}
        for name, canary in canaries.items():
            self.facts[name]["canary"] = canary
        built = {canary["sha256"] for canary in canaries.values() if canary.get("built")}
        if all(canary.get("applicable") for canary in canaries.values()):
            self.out.check(
                len(built) == 1 and all(canary["built"] for canary in canaries.values()),
                "the canary is built on every agent, to the same program",
                ", ".join(f"{name}: {canary.get('msg')}" for name, canary in canaries.items()),
            )
            self.out.row("canary", f"built on every agent through the proxy, everywhere with SHA-256 {min(built)[:16]}")
        else:
            reasons = {canary.get("reason", "") for canary in canaries.values() if not canary.get("applicable")}
            self.out.row("canary", f"not applicable: {'; '.join(sorted(reasons))}")

    def rebuild(self) -> None:
        since = time.time()
        before = {agent.name: agent.versions()[0] for agent in self.agents}

        def work(agent: Agent) -> None:
            for project in fleet.AGAIN[agent.name]:
                agent.change(project, 0)
                built = agent.build_all(project, GOPROXY="off")
                same = built == agent.artefacts[project.name]
                self.out.check(same, f"{agent.name}: {project.name} is built again to the same program")
            agent.keep_fresh(fleet.AGAIN[agent.name], since)

        fleet.in_parallel(self.agents, work)
        for agent in self.agents:
            names = [project.name for project in fleet.AGAIN[agent.name]]
            self.facts[agent.name]["rebuilt"] = names
            back = sorted(agent.versions()[0] - before[agent.name])
            text = f"{', '.join(names)}: the same SHA-256 as before the purge"
            self.out.row(agent.name, text + (f"; extracted again: {', '.join(back)}" if back else ""))

    def again(self) -> None:
        for turn in (2, 3, 4):
            before = {agent.name: agent.versions()[1] for agent in self.agents}
            run = self._purge(label=f"purge-{turn}")
            results = {agent.name: run.result(agent.name, "cache_prune") for agent in self.agents}
            for agent in self.agents:
                result = results[agent.name]
                self.facts[agent.name][f"purge_{turn}"] = result
                zips = sorted(before[agent.name] - agent.versions()[1])
                text = f"evicted {entries(result['evicted_entries'])}"
                if zips:
                    text += f"; zips whose trees had gone before: {', '.join(zips)}"
                if result["changed"]:
                    self.out.row(agent.name, text + skips(result))
            if not any(result["changed"] for result in results.values()):
                break
        for name, result in results.items():
            waits = sum(row["entries"] for row in result["pending"])
            used = result["left_out_entries"]  # by other people's Go tools on this machine
            self.out.check(
                not result["changed"] and (not waits or bool(used)),
                f"{name}: once nothing is left to do, a purge changes nothing",
                result["msg"],
            )
        self.out.row("all", f"purge number {turn} changed nothing")

    # the end

    def table(self) -> None:
        """Per agent and in sum: before, after, freed, what was kept and why, verified, built again."""
        names = [agent.name for agent in self.agents]
        facts = [self.facts[name] for name in names]

        def amounts(values: list[int]) -> list[str]:
            return [size(value) for value in [*values, sum(values)]]

        def numbers(values: list[int]) -> list[str]:
            return [str(value) if value else "-" for value in [*values, sum(values)]]

        kept = [kept_of(fact["purge"]) for fact in facts]
        rows: list[list[str] | None] = [
            ["before", *amounts([fact["before"] for fact in facts])],
            ["after", *amounts([fact["after"] for fact in facts])],
            ["freed", *amounts([fact["purge"]["freed_bytes"] for fact in facts])],
            None,
            ["entries evicted", *numbers([fact["purge"]["evicted_entries"] for fact in facts])],
        ]
        for reason in KEPT:
            values = [table.get(reason, 0) for table in kept]
            if any(values):
                rows.append([KEPT[reason], *numbers(values)])
        for reason in sorted({reason for table in kept for reason in table} - set(KEPT)):
            rows.append([f"kept: {reason}", *numbers([table.get(reason, 0) for table in kept])])
        rows.append(["plan, in check mode and run", *(self._plan(fact) for fact in facts), ""])
        rows.append(None)
        rows += self._proofs(facts)
        self.out.say()
        self.out.table(["", *names, "total"], rows)
        self.out.say("Before and after are counted file by file. On agent-busy builds made entries anew meanwhile.", 3)

    def _plan(self, fact: dict[str, Any]) -> str:
        digest = fact["purge"]["plan_digest"]
        return digest[:12] if digest == fact["plan"]["plan_digest"] else "builds between"

    def _proofs(self, facts: list[dict[str, Any]]) -> list[list[str]]:
        damaged = [damage_count(fact["verify"]) for fact in facts]
        rebuilt = [len(fact["rebuilt"]) for fact in facts]
        builds = [fact.get("builds", 0) for fact in facts]
        failed = sum(fact.get("builds_failed", 0) for fact in facts)
        texts = ["sound" if not number else f"{number} damaged, left" for number in damaged]
        return [
            ["verified", *texts, f"{sum(damaged)} damaged"],
            ["programs rebuilt, same SHA-256", *(f"{number} of {number}" for number in [*rebuilt, sum(rebuilt)])],
            ["builds during the purge", *(str(n) if n else "-" for n in builds), f"{sum(builds)}, {failed} failed"],
        ]


#: Why entries were kept, as the modules say it and as the table does, in the table's order.
KEPT = {
    "in date": "kept: used within the ages",
    "floor": "kept: under the floor (1 h)",
    "private": "kept: private module",
    "keep": "kept: on the keep-list",
    "used since": "kept: used since the plan",
    "in use": "kept: in use by a Go tool",
    "guard": "kept: with what it belongs to",
    "pending": "waits for the next purge",
}


def kept_of(result: dict[str, Any]) -> dict[str, int]:
    """Entries that a purge left, by reason; those that the policy did not ask for are ``in date``."""
    found: dict[str, int] = {}
    for row in result["protected"]:
        found[row["reason"]] = found.get(row["reason"], 0) + row["entries"]
    for cache in result["caches"]:
        for reason, cell in cache.get("left_out", {}).items():
            found[reason] = found.get(reason, 0) + cell["entries"]
    found["pending"] = sum(row["entries"] for row in result["pending"])
    total = sum(cache.get("entries", 0) for cache in result["caches"])
    found["in date"] = total - result["evicted_entries"] - sum(found.values())
    return found


def entries(number: int) -> str:
    """A number of entries, with the noun."""
    return count(number, "entry", "entries")


def skips(result: dict[str, Any]) -> str:
    """What of a plan stayed, with the reasons, as the end of a sentence."""
    reasons: dict[str, int] = {}
    for cache in result["caches"]:
        for reason, cell in cache.get("left_out", {}).items():
            reasons[reason] = reasons.get(reason, 0) + cell["entries"]
    return "".join(f"; {number} stayed ({reason})" for reason, number in sorted(reasons.items()))


def damage_count(result: dict[str, Any]) -> int:
    """How many damaged entries a verification found."""
    return int(result["damaged_total"])


def prepare_folder() -> None:
    """Removes what an earlier run left; module caches are read-only, so plain removal would fail."""
    if FOLDER.exists():
        tree.remove_tree(FOLDER)
    if FOLDER.exists():
        raise DemoError(f"{FOLDER} cannot be removed: it holds files of another user; remove it and try again")
    FOLDER.mkdir(parents=True)


def write_json(file: Path, demo: Demo, out: report.Report, code: int) -> None:
    """Everything that was seen, for programs."""
    content = {
        "ok": code == 0,
        "agents": demo.facts,
        "damage": demo.damage,
        "builds": [build._asdict() for build in demo.builds],
        "steps": out.steps,
        "checks": out.checks,
    }
    file.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Runs the demonstration; 0 only if everything held."""
    parser = argparse.ArgumentParser(prog="make demo ARGS=...", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write what was seen to this file, too")
    arguments = parser.parse_args([word for word in sys.argv[1:] if word != "--"])
    os.umask(0o022)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    env.BUILD.mkdir(exist_ok=True)
    with open(env.BUILD / ".demo.lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"Another demonstration is running in this clone ({ROOT}): wait for it.", file=sys.stderr)
            return 1
        return demonstrate(Path(arguments.json).absolute() if arguments.json else None)


def demonstrate(json_file: Path | None) -> int:
    """Runs all steps and tells how it ended."""
    out = report.Report()
    processes = procs.Processes()
    go = Path(os.environ.get("GOFLEET_TEST_GO") or env.ensure_go())
    begin = time.monotonic()
    seen = watch.Watch(ROOT, FOLDER)
    code, demo = 1, None
    try:
        out.say(out.paint("gofleet.cache: the whole job on a fleet of three build agents on this machine", "1"))
        out.say(f"Go: {go}   ansible-core: {version('ansible-core')}   everything in {FOLDER.relative_to(ROOT)}", 3)
        prepare_folder()
        demo = Demo(out, processes, go)
        demo.run()
        with out.step("Look for what was left outside the demonstration's folder"):
            alive = procs.descendants()
            out.check(not alive, "no process is left", str(alive))
            left = seen.left()
            out.check(not left, "nothing is left outside the folder", ", ".join(left))
            if not left and not alive:
                out.row("nothing", "no file in a home or a temporary folder, no process")
        demo.table()
        code = 1 if out.failed else 0
    except DemoError as exc:
        print(f"\n{out.paint('The demonstration cannot go on:', '31;1')} {exc}", flush=True)
    except KeyboardInterrupt:
        code = 130
        print("\nInterrupted; ending what still runs.", flush=True)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        alive = processes.end_all()
        if alive:
            print(f"These processes could not be ended: {alive}", flush=True)
    if demo is not None and json_file is not None:
        write_json(json_file, demo, out, code)
    if code == 130:
        return code
    took = time.monotonic() - begin
    held = len(out.checks) - len(out.failed)
    out.say()
    verdict = out.paint("Everything held", "32;1") if code == 0 else out.paint("It did not work", "31;1")
    out.say(f"{verdict}: {held} of {len(out.checks)} checks, {took:.0f} s.", 3)
    if took > LIMIT and code == 0:
        load = ", ".join(f"{value:.0f}" for value in os.getloadavg())
        out.say(f"(It should take less than {LIMIT} s; this machine's load is {load} on {os.cpu_count()} cores.)", 3)
    shown = FOLDER.relative_to(ROOT)
    out.say(f"What every playbook said is in {shown}/logs, the inventory in {shown}/inventory.", 3)
    return code
