# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lessons: 43 ways in which other cleaners failed, and the test that guards each here, or why none is needed."""

from __future__ import annotations

import ast
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import Any, NamedTuple

TESTS = pathlib.Path(__file__).resolve().parents[1]
_UTILS = "unit/plugins/module_utils"
_BUILD = f"{_UTILS}/_kinds/go_build"
_MOD = f"{_UTILS}/_kinds/go_mod"
_TOOLS = f"{_UTILS}/_kinds/go_toolcache/test_go_toolcache.py"
_PURGE = f"{_UTILS}/_host/test_purge.py"
_FIND = f"{_UTILS}/_host/test_find.py"
_PLAN = f"{_UTILS}/_core/test_plan.py"
_IDENTITY = f"{_UTILS}/_fs/test_identity.py"
_REMOVE = f"{_UTILS}/_fs/test_remove.py"
_RUNNING = f"{_UTILS}/_go/test_running.py"
_FAULTS = "faults/test_lessons.py"
_FIRE = "faults/test_builds_under_fire.py"
_TRUTH = "faults/test_truth.py"
_IN_USE = "faults/test_in_use.py"
_SAMPLES = "prove/test_samples.py"


class Lesson(NamedTuple):
    """What went wrong elsewhere; ``tests`` guard against it here, or ``why`` says why it cannot happen here."""

    what: str
    tests: tuple[str, ...] = ()
    why: str = ""


LESSONS: dict[str, Lesson] = {
    "F01": Lesson(
        "entries evicted in the middle of a build",
        (
            f"{_FAULTS}::test_a_compiler_that_waits_finds_what_it_was_promised",
            f"{_FIRE}::test_no_build_fails_while_old_entries_are_pruned_back_to_back",
            f"{_FIRE}::test_a_wipe_below_the_floor_waits_for_the_builds_that_were_running",
            f"{_BUILD}/test_evict.py::test_below_the_floor_the_outputs_wait_for_every_tool",
            f"{_SAMPLES}::test_fire",
        ),
    ),
    "F02": Lesson(
        "a check for living processes that was upside down: living, dead, reused, unreadable, no process",
        (
            f"{_RUNNING}::test_a_tool_that_really_runs_is_seen_with_its_cache",
            f"{_RUNNING}::test_a_process_that_ends_meanwhile_uses_nothing",
            f"{_RUNNING}::test_a_number_that_went_to_another_process_is_looked_at_again",
            f"{_RUNNING}::test_a_process_whose_root_is_hidden_is_a_user_of_all",
            f"{_RUNNING}::test_a_proc_that_cannot_be_read_or_shows_nobody_else_proves_nothing",
        ),
    ),
    "F03": Lesson("images pruned between pull and use", why="container images are not cleaned"),
    "F04": Lesson("volumes and images of stopped containers", why="neither images nor volumes are ever removed"),
    "F05": Lesson(
        "something that the system needs but does not show as used",
        (
            f"{_TOOLS}::test_what_the_systems_go_leads_to_stays",
            f"{_TOOLS}::test_what_a_running_process_relies_on_stays",
            f"{_PLAN}::test_keep_wins_over_named_and_over_budgets",
        ),
    ),
    "F06": Lesson(
        "a runner's own folders taken for old workspaces",
        (
            f"{_FAULTS}::test_the_widest_policy_takes_nothing_but_caches",
            f"{_TOOLS}::test_what_has_no_mark_may_have_been_put_there_by_hand",
        ),
    ),
    "F07": Lesson(
        "used again between the look and the eviction",
        (
            f"{_BUILD}/test_evict.py::test_what_was_used_since_is_kept_and_told",
            f"{_BUILD}/test_evict.py::test_an_output_that_is_read_meanwhile_gets_its_name_back",
            f"{_MOD}/test_evict.py::test_a_version_that_was_read_since_is_kept",
            f"{_MOD}/test_evict.py::test_a_version_that_is_read_while_it_is_marked_is_kept",
            f"{_UTILS}/_core/test_plan_saved.py::test_what_is_protected_now_stays_whatever_the_plan_says",
        ),
    ),
    "F08": Lesson(
        "readers that fail when what they looked up has gone",
        (
            f"{_FIRE}::test_no_build_fails_while_old_entries_are_pruned_back_to_back",
            f"{_FIRE}::test_no_build_fails_while_module_trees_are_evicted",
        ),
    ),
    "F09": Lesson(
        "a measurement that fails and counts as a full disk",
        (
            f"{_PURGE}::test_a_disk_that_cannot_be_measured_starts_nothing",
            f"{_PLAN}::test_a_disk_of_unknown_size_starts_nothing",
            f"{_PLAN}::test_each_file_system_is_judged_by_itself",
            f"{_UTILS}/_fs/test_mounts.py::test_a_file_system_that_does_not_answer_or_has_no_size_is_unknown",
        ),
    ),
    "F10": Lesson(
        "unneeded, because a job failed half-way",
        (
            f"{_FAULTS}::test_a_job_that_failed_half_way_does_not_make_the_rest_unneeded",
            f"{_UTILS}/_go/test_needs.py::test_a_broken_sum_keeps_everything_but_still_names_the_rest",
        ),
    ),
    "F11": Lesson(
        "an empty variable for a path",
        (
            f"{_IDENTITY}::test_names_that_are_never_a_cache",
            f"{_FIND}::test_a_path_that_is_never_a_cache_is_an_error",
            f"{_FIND}::test_a_path_that_expands_to_nothing_good_is_an_error_or_nothing",
            "unit/plugins/modules/test_cache_prune.py::test_a_bad_path_fails_and_nothing_is_done",
        ),
    ),
    "F12": Lesson(
        "a cache setting that leads to something else",
        (
            f"{_IDENTITY}::test_a_folder_with_a_caches_face_and_somebody_elses_contents_is_refused",
            f"{_IDENTITY}::test_a_folder_without_a_fingerprint_is_refused",
            f"{_FIND}::test_a_setting_that_leads_into_a_repository_is_refused_without_an_error",
            "unit/plugins/modules/test_cache_prune.py::test_a_folder_that_is_no_cache_fails_with_the_reason",
        ),
    ),
    "F13": Lesson(
        "a dry run that deletes",
        (
            f"{_PURGE}::test_a_check_leaves_everything_as_it_was",
            "unit/plugins/modules/test_cache_prune.py::test_check_mode_tells_what_the_run_then_does",
            "unit/plugins/modules/test_cache_undo.py::test_check_mode_changes_nothing_and_the_run_then_brings_everything_back",
        ),
    ),
    "F14": Lesson(
        "a purge that takes more than its name says", (f"{_FAULTS}::test_the_widest_policy_takes_nothing_but_caches",)
    ),
    "F15": Lesson(
        "root and recursion: owners changed, files of root left behind",
        (
            f"{_PURGE}::test_as_root_another_accounts_cache_is_cleaned_with_its_owners_rights",
            f"{_UTILS}/_fs/test_worker.py::test_rights_are_given_up_for_good",
            f"{_UTILS}/_fs/test_worker.py::test_what_is_made_belongs_to_the_owner_and_what_is_not_the_owners_stays",
            f"{_MOD}/test_rights.py::test_the_owner_of_the_cache_cannot_turn_roots_rights_against_root",
        ),
    ),
    "F16": Lesson(
        "a cache with something else inside, or inside another cache",
        (
            f"{_IDENTITY}::test_a_folder_with_a_caches_face_and_somebody_elses_contents_is_refused",
            f"{_FIND}::test_a_cache_inside_another_is_an_error_when_it_is_named",
            f"{_MOD}/test_survey.py::test_a_tree_with_a_repository_in_it_is_kept",
            f"{_MOD}/test_evict.py::test_a_folder_that_only_looks_like_a_leftover_stays",
        ),
    ),
    "F17": Lesson(
        "somebody else wipes the cache at the same time",
        (
            f"{_BUILD}/test_evict.py::test_a_whole_cache_that_vanishes_is_no_error",
            f"{_BUILD}/test_evict.py::test_what_somebody_else_took_is_not_counted_as_ours",
            f"{_MOD}/test_evict.py::test_a_tree_that_is_gone_is_nobodys_eviction",
            f"{_REMOVE}::test_what_vanishes_meanwhile_is_fine_and_what_appears_is_told",
        ),
    ),
    "F18": Lesson(
        "a folder that becomes a symlink while it is removed",
        (
            f"{_REMOVE}::test_a_folder_that_becomes_a_symlink_meanwhile_is_not_followed",
            f"{_SAMPLES}::test_attackers",
        ),
    ),
    "F19": Lesson(
        "a fall-back that resolves a path again, or changes modes through a link",
        (
            f"{_REMOVE}::test_links_go_and_what_they_point_to_stays",
            f"{_MOD}/test_evict.py::test_symlinks_in_a_tree_lead_nowhere",
            f"{_SAMPLES}::test_attackers",
        ),
    ),
    "F20": Lesson(
        "swapped parents and hard links under root's hands",
        (
            f"{_IDENTITY}::test_a_symlink_that_another_user_can_replace_is_refused",
            f"{_REMOVE}::test_a_second_hard_link_keeps_content_and_mode_and_frees_nothing",
            f"{_BUILD}/test_evict.py::test_a_shard_that_became_a_symlink_is_not_entered",
            f"{_MOD}/test_evict.py::test_a_folder_that_became_a_symlink_is_not_entered",
            f"{_SAMPLES}::test_attackers",
        ),
    ),
    "F21": Lesson(
        "a symlinked shard folder",
        (
            f"{_BUILD}/test_survey.py::test_a_symlinked_shard_is_told_and_never_entered",
            f"{_BUILD}/test_evict.py::test_a_shard_that_became_a_symlink_is_not_entered",
            f"{_UTILS}/_go/test_modindex.py::test_nothing_else_is_dropped_and_no_symlink_is_entered",
        ),
    ),
    "F22": Lesson(
        "bind mounts of the same device",
        (
            f"{_REMOVE}::test_a_bind_mount_inside_is_never_entered_nor_changed",
            f"{_IDENTITY}::test_a_cache_with_a_mount_inside_is_refused_also_of_the_same_device",
            f"{_BUILD}/test_evict.py::test_a_mount_that_came_since_is_not_entered",
            f"{_MOD}/test_survey.py::test_a_mount_inside_a_tree_keeps_the_tree",
            f"{_SAMPLES}::test_attackers",
        ),
    ),
    "F23": Lesson(
        "a symlink for a cache: the link goes, the bytes stay",
        (
            f"{_FAULTS}::test_a_linked_cache_is_cleaned_where_it_lies_and_the_link_stays",
            f"{_FIND}::test_both_names_of_a_linked_cache_are_told",
            f"{_IDENTITY}::test_a_root_may_be_a_symlink_and_both_names_are_told",
        ),
    ),
    "F24": Lesson(
        "very deep trees",
        (
            f"{_REMOVE}::test_depth_costs_neither_stack_nor_descriptors",
            f"{_UTILS}/_kinds/go_work/test_go_work.py::test_a_deep_tree_costs_no_stack",
        ),
    ),
    "F25": Lesson(
        "what an interrupted removal leaves breaks builds for ever",
        (
            f"{_TRUTH}::test_a_killed_prune_leaves_working_caches",
            f"{_MOD}/test_evict.py::test_a_kill_at_any_moment_is_finished_by_the_next_runs",
            f"{_MOD}/test_evict.py::test_after_a_kill_at_any_step_a_build_without_the_network_works",
            f"{_BUILD}/test_evict.py::test_a_kill_at_any_moment_never_turns_vet_green",
            f"{_SAMPLES}::test_crash",
        ),
    ),
    "F26": Lesson(
        "a folder's time taken for use, and far more removed than was asked for",
        (
            f"{_PLAN}::test_a_size_budget_takes_the_smallest_oldest_part_and_no_more",
            f"{_PLAN}::test_a_stop_mark_stops",
            f"{_UTILS}/_kinds/go_work/test_go_work.py::test_a_file_written_deep_inside_counts_as_use",
        ),
    ),
    "F27": Lesson(
        "access times that lie",
        (
            f"{_MOD}/test_survey.py::test_a_mount_without_access_times_says_so",
            f"{_MOD}/test_survey.py::test_use_is_the_newest_of_reading_the_hash_and_arriving",
            f"{_MOD}/test_survey.py::test_a_survey_leaves_every_time_as_it_was",
            f"{_UTILS}/_fs/test_dirs.py::test_reading_does_not_touch_the_access_time",
            f"{_TOOLS}::test_where_use_leaves_no_trace_everything_stays",
        ),
    ),
    "F28": Lesson(
        "old times on fresh files, and clocks that jump",
        (
            f"{_PLAN}::test_a_clock_that_was_set_wrong_by_a_year_empties_nothing_by_age",
            f"{_PLAN}::test_time_stamps_of_the_future_are_kept",
            f"{_BUILD}/test_survey.py::test_an_entry_older_than_go_counts_from_its_arrival",
            "unit/plugins/modules/test_cache_prune.py::test_ages_count_from_the_last_build_not_from_a_clock_that_was_stepped",
            f"{_SAMPLES}::test_time",
        ),
    ),
    "F29": Lesson(
        "arriving taken for using",
        (
            f"{_FAULTS}::test_what_came_last_and_was_never_used_goes_before_what_is_old_and_in_use",
            f"{_TOOLS}::test_running_go_counts_as_use_and_looking_does_not",
        ),
    ),
    "F30": Lesson(
        "wrong bytes: hard links, holes",
        (
            f"{_UTILS}/_fs/test_dirs.py::test_what_unlinking_gives_back_is_what_is_allocated",
            f"{_PLAN}::test_hard_linked_entries_never_make_a_budget_look_met",
            f"{_BUILD}/test_survey.py::test_a_second_hard_link_frees_nothing",
            f"{_MOD}/test_survey.py::test_a_hard_link_frees_nothing",
        ),
    ),
    "F31": Lesson(
        "half of a tree removed",
        (
            f"{_FAULTS}::test_a_tree_goes_whole_or_stays_whole_however_its_files_are_dated",
            f"{_TRUTH}::test_vet_keeps_its_findings_when_a_pass_is_cut",
            f"{_SAMPLES}::test_truth",
        ),
    ),
    "F32": Lesson(
        "two cleaners at once",
        (
            f"{_PURGE}::test_a_second_cleaner_leaves_at_once",
            f"{_PURGE}::test_many_cleaners_together_free_what_one_frees",
            f"{_BUILD}/test_evict.py::test_two_cleaners_with_the_same_plan_count_nothing_twice",
        ),
    ),
    "F33": Lesson(
        "waiting for a lock for ever",
        (
            f"{_PURGE}::test_a_second_cleaner_leaves_at_once",
            f"{_UTILS}/_core/test_evict.py::test_waiting_for_quiet_ends_with_the_time_limit",
            f"{_MOD}/test_tiers.py::test_a_clone_in_use_is_skipped_at_once",
        ),
    ),
    "F34": Lesson(
        "one busy runner blocks all; a stale sign of work blocks for ever",
        (
            f"{_IN_USE}::test_a_build_uses_the_caches_that_its_environment_names",
            f"{_RUNNING}::test_a_tool_is_taken_out_only_when_it_is_proven_to_use_another_cache",
            f"{_RUNNING}::test_a_zombie_uses_no_cache",
        ),
    ),
    "F35": Lesson("a drain that is not undone, or undone against somebody's will", why="agents are not drained here"),
    "F36": Lesson("a cleaner that kills jobs", (f"{_FAULTS}::test_no_job_is_ever_signalled",)),
    "F37": Lesson(
        "failing, or changing something, where there is nothing to clean",
        (
            f"{_PURGE}::test_purges_converge",
            f"{_PURGE}::test_missing_caches_are_fine",
            f"{_FIND}::test_a_missing_path_is_fine",
            f"{_MOD}/test_evict.py::test_a_leftover_that_cannot_go_is_no_change_for_ever",
        ),
    ),
    "F38": Lesson(
        "a keep-list that is not heeded deep inside", (f"{_PLAN}::test_keep_wins_over_named_and_over_budgets",)
    ),
    "F39": Lesson(
        "all caches cold at once",
        (
            f"{_FAULTS}::test_a_purge_begins_with_one_agent_and_never_takes_more_than_a_fifth_of_the_fleet_at_once",
            "unit/playbooks/test_survey_and_purge.py::test_a_canary_that_fails_or_cannot_be_reached_keeps_all_others_untouched",
        ),
    ),
    "F40": Lesson(
        "the folder of a running step removed",
        (
            f"{_BUILD}/test_evict.py::test_everything_old_goes_and_what_makes_it_a_cache_stays",
            f"{_UTILS}/_kinds/go_work/test_go_work.py::test_what_a_running_process_names_stays",
        ),
    ),
    "F41": Lesson(
        "old versions of the tool on the same cache",
        (
            f"{_FAULTS}::test_go_versions_share_a_cache_and_only_what_no_one_used_goes",
            f"{_MOD}/test_survey.py::test_toolchains_and_the_biggest_are_named",
            f"{_MOD}/test_tiers.py::test_a_toolchain_stays_while_a_process_runs_from_it",
        ),
    ),
    "F42": Lesson(
        "trees so large that a run never ends",
        (
            f"{_PURGE}::test_a_time_limit_ends_the_run_and_tells_what_is_left",
            f"{_BUILD}/test_evict.py::test_a_time_limit_before_the_first_entry_evicts_nothing",
            f"{_MOD}/test_evict.py::test_a_time_limit_leaves_the_rest_and_counts_it",
        ),
    ),
    "F43": Lesson(
        "marks removed that tell other tools what a folder is",
        (f"{_BUILD}/test_evict.py::test_everything_old_goes_and_what_makes_it_a_cache_stays",),
    ),
}


def missing() -> list[str]:
    """What is wrong with the list itself: a number without an answer, a test that does not exist."""
    problems = []
    numbers = {f"F{number:02}" for number in range(1, 44)}
    problems += [f"{name} is not in the list" for name in sorted(numbers - set(LESSONS))]
    problems += [f"{name} is no lesson" for name in sorted(set(LESSONS) - numbers)]
    known: dict[str, set[str]] = {}
    for name, lesson in LESSONS.items():
        if bool(lesson.tests) == bool(lesson.why):
            problems.append(f"{name} needs either tests or a reason")
        for test in lesson.tests:
            file, _colons, function = test.partition("::")
            if file not in known:
                known[file] = _functions(TESTS / file)
            if function not in known[file]:
                problems.append(f"{name}: there is no test {test}")
    return problems


def _functions(file: pathlib.Path) -> set[str]:
    if not file.is_file():
        return set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def run(say: Any) -> dict[str, Any]:
    """The part ``lessons``: every test that the list names is run, and none may fail."""
    problems = missing()
    named = sorted({test for lesson in LESSONS.values() for test in lesson.tests})
    chosen = [test for test in named if test.partition("::")[0] != _SAMPLES]
    say(f"{len(chosen)} tests")
    # Test files of the same name lie in different folders, and those of tests/faults share a conftest.
    skipped = 0
    with tempfile.TemporaryDirectory(prefix="gofleet.lessons-") as base:
        for number, (part, mode) in enumerate((("unit/", "importlib"), ("faults/", "prepend"))):
            ids = [str(TESTS / test) for test in chosen if test.startswith(part)]
            command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rfE", "-q", "--tb=short"]
            command += [f"--import-mode={mode}", f"--rootdir={TESTS.parent}", f"--basetemp={base}/{number}", *ids]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
            for count in re.findall(r"(\d+) skipped", done.stdout.splitlines()[-1] if done.stdout else ""):
                skipped += int(count)
            if done.returncode:
                problems += [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))][:10]
                problems.append(f"pytest {part}: exit code {done.returncode}: {done.stdout[-500:]}{done.stderr[-300:]}")
    rows = []
    for name, lesson in LESSONS.items():
        answer = f"{len(lesson.tests)} tests" if lesson.tests else f"does not apply: {lesson.why}"
        rows.append({"lesson": name, "what": lesson.what, "answer": answer})
    left_out = [f"{skipped} of the tests were skipped"] if skipped else []
    return {"rows": rows, "problems": problems, "left_out": left_out}
