# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GOAUTH helper: a script that prints what it was told and no more, and is read back."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._fs import atomic
from ansible_collections.gofleet.cache.plugins.module_utils._go import goauth, netrc, services, toolchain
from ansible_collections.gofleet.cache.plugins.module_utils._go.accounts import Account
from ansible_collections.gofleet.cache.plugins.module_utils._go.configure import Impossible
from ansible_collections.gofleet.cache.plugins.module_utils._go.goauth import Header
from ansible_collections.gofleet.cache.plugins.module_utils._go.netrc import Refused
from ansible_collections.gofleet.cache.plugins.module_utils._proxy import credentials

SHELLS = [
    [path, *words]
    for path, words in ((shutil.which(name), words) for name, *words in (["sh"], ["bash"], ["dash"], ["busybox", "sh"]))
    if path
]
_URLS = st.from_regex(r"https://[a-c]\.example(:8443)?(/[a-b]{1,2}){0,2}", fullmatch=True)
_PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=12)
_ANY = st.text(st.sampled_from("ab'\"$`\\ %\n\r\t\0\x7f\x85\u2028é:#;*~"), max_size=12)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    url, word = draw(_URLS), draw(_PRINTABLE)
    login = draw(st.sampled_from(["", "ci", "o'a", "b c"]))
    name = "" if login else draw(st.sampled_from(["", "PRIVATE-TOKEN", "x-'`"]))
    source = draw(st.sampled_from(["text", "file", "run"]))
    if source == "text":
        return goauth.stored(url, word.strip() or "x", login, name)
    return goauth.fetched(
        url, source, ["/" + word, *draw(st.lists(_PRINTABLE, max_size=2))][: 1 + (source == "run")], login, name
    )


def written(*given: Header) -> bytes:
    data = None
    for header in given:
        data = goauth.put(data, header, exclusive=False)
    assert data is not None
    return data


def output(
    data: bytes, shell: list[str], folder: Path, *arguments: str, answer: str = "HTTP/1.1 401 Unauthorized\n\n"
) -> tuple[dict[str, dict[str, str]], int, str]:
    """What Go understands of what the script prints; its status; what it says on standard error."""
    place = folder / "helper"
    place.write_bytes(data)
    done = subprocess.run(
        [*shell, str(place), *arguments],
        input=answer.encode() if arguments else b"",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    return credentials.parse_user_auth(done.stdout.decode()), done.returncode, done.stderr.decode()


# the file


@given(st.lists(headers(), max_size=6))
def test_what_is_written_is_read_back(given: list[Header]) -> None:
    if not given:
        return
    data = written(*given)
    expected = {header.key: header for header in given}
    assert {header.key: header for header in goauth.parse(data)} == expected
    assert len(goauth.parse(data)) == len(expected)
    assert goauth.put(data, given[-1], exclusive=False) == data


@pytest.mark.skipif(not SHELLS, reason="needs a shell")
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(given=st.lists(_PRINTABLE.filter(lambda text: text == text.strip()), min_size=1, max_size=3), login=_PRINTABLE)
def test_every_shell_prints_exactly_the_secrets(
    tmp_path_factory: pytest.TempPathFactory, given: list[str], login: str
) -> None:
    login = login.replace(":", "") or "x"
    wanted = [goauth.stored("https://h/%d" % number, token) for number, token in enumerate(given)]
    wanted.append(goauth.stored("https://h/basic", given[0], login))
    pair = base64.b64encode(("%s:%s" % (login, given[0])).encode()).decode()
    expected = {"h/%d" % number: {"Authorization": "Bearer " + token} for number, token in enumerate(given)}
    expected["h/basic"] = {"Authorization": "Basic " + pair}
    folder = tmp_path_factory.mktemp("shell")
    for shell in SHELLS:
        assert output(written(*wanted), shell, folder) == (expected, 0, "")


@given(token=_ANY, login=_ANY, name=_ANY, url=st.one_of(_URLS, _ANY, st.builds("https://h/{}".format, _ANY)))
def test_no_value_adds_a_header_or_a_url(token: str, login: str, name: str, url: str) -> None:
    try:
        clean = goauth.check_url(url)
        if login:
            goauth.check_login(login, token)
        elif name:
            goauth.check_name(name)
        goauth.check_token(token, bool(login))
    except Refused:
        return
    data = written(goauth.stored(clean, token, login, name))
    (header,) = goauth.parse(data)
    assert re.match(r"[\x20-\x7e]+\Z", header.url + header.words[1])
    body = data.decode().partition("are lost or refused.\n")[2]
    assert [line.partition(" ")[0] for line in body.splitlines()][:3] == ["entry", "text", "end"]


@pytest.mark.parametrize(
    "ending", ["\n", "\r", "\r\nX-Evil: 1", "\n\nhttps://evil.example\n\nX: y", "\0", "\x7f", "\u2028"]
)
def test_line_ends_are_refused_wherever_they_stand_without_showing_the_secret(ending: str) -> None:
    for refuse in (
        lambda: goauth.check_token("zyxwv" + ending, False),
        lambda: goauth.check_token("zyxwv" + ending, True),
        lambda: goauth.check_login("zyxwv" + ending, "x"),
        lambda: goauth.check_name("X" + ending),
        lambda: goauth.check_url("https://h/a" + ending),
        lambda: (
            goauth.check_command(["/bin/x", "zyxwv" + ending]) if ending != "\u2028" else goauth.check_token("", False)
        ),
        lambda: goauth.check_file("/zyxwv" + ending) if ending != "\u2028" else goauth.check_token("", False),
    ):
        with pytest.raises(Refused) as caught:
            refuse()
        assert "zyxwv" not in str(caught.value) or "token_file" in str(caught.value)


@pytest.mark.parametrize("token", ["", "zyxwvé", " zyxwv", "zyxwv ", "zyxwv\ud800"])
def test_tokens_that_no_header_can_hold_are_refused(token: str) -> None:
    with pytest.raises(Refused) as caught:
        goauth.check_token(token, False)
    assert "zyxwv" not in str(caught.value)


def test_basic_authorization_takes_what_a_header_cannot() -> None:
    goauth.check_token(" é ", True)
    goauth.check_login("o'a b", "x")
    for login in ("a:b", "", "ghp_abc", "glpat-abc"):
        with pytest.raises(Refused):
            goauth.check_login(login, "x")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://ci:hunter2@h/", "userinfo"),
        ("https://ci:hun/ter2@h/", "userinfo"),
        ("http://h/", "http"),
        ("h/a", "scheme"),
        ("", "scheme"),
        ("HTTPS://h", "scheme"),
        ("https://", "host"),
        ("https:///a", "host"),
        ("https://[::1", "host"),
        ("https://-h", "host"),
        ("https://a b", "host"),
        ("https://h:0", "port"),
        ("https://h:99999", "port"),
        ("https://h/*", "pattern"),
        ("https://h/?a", "pattern"),
        ("https://h/#a", "pattern"),
        ("https://h/a//b", "path"),
        ("https://h/../a", "path"),
        ("https://h/a b", "path"),
        ("https://h/\u00e4", "path"),
        ("https://h/%zz", "path"),
    ],
)
def test_what_go_would_never_match_is_refused_as_url(url: str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        goauth.check_url(url)
    assert caught.value.code == code
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://h", "https://h.example:8443/a/b!c/v2", "https://[::1]:1/x", "https://10.0.0.1/~%2F"]
)
def test_a_url_is_taken_with_and_without_a_slash_at_its_end(url: str) -> None:
    assert goauth.check_url(url) == goauth.check_url(url + "/") == url


@pytest.mark.parametrize("name", ["", "a b", "X:", "Host", "content-length", "Tränk"])
def test_what_is_no_header_of_ones_own_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        goauth.check_name(name)


def test_a_command_is_a_program_by_its_path_without_login_data() -> None:
    goauth.check_command(["/usr/bin/vault", "kv", "get", "-field=token", "secret/go"])
    goauth.check_command(["/usr/bin/gcloud", "auth", "print-access-token"])
    for command in (
        [],
        ["vault"],
        ["./x"],
        ["/x", "--token=hunter2"],
        ["/x", "--token", "hunter2"],
        ["/x", "http://a:hunter2@h"],
    ):
        with pytest.raises(Refused) as caught:
            goauth.check_command(command)
        assert "hunter2" not in str(caught.value)
    assert goauth.secrets_in(["/x", "--token", "hunter2"]) == ["hunter2"]


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a\nb", ""])
def test_a_token_file_is_named_by_its_whole_path(path: str) -> None:
    with pytest.raises(Refused):
        goauth.check_file(path)


def test_one_header_of_each_name_and_others_only_if_wanted() -> None:
    data = goauth.put(None, goauth.stored("https://h", "1"))
    data = goauth.put(data, goauth.stored("https://h/a", "2"))
    data = goauth.put(data, goauth.stored("https://h", "3", "ci"))
    assert [(item.url, item.name) for item in goauth.parse(data)] == [
        ("https://h/a", "Authorization"),
        ("https://h", "Authorization"),
    ]
    data = goauth.put(data, goauth.stored("https://h", "4", name="X-A"), exclusive=False)
    assert [item.name for item in goauth.parse(data) if item.url == "https://h"] == ["Authorization", "X-A"]
    data = goauth.put(data, goauth.stored("https://h", "5", name="x-a"))
    assert [item.words for item in goauth.parse(data) if item.url == "https://h"] == [("text", "x-a: 5")]
    assert goauth.drop(data, "https://h", "Authorization") == data
    left = goauth.drop(data, "https://h", "X-A")
    assert [item.url for item in goauth.parse(left)] == ["https://h/a"]
    assert goauth.parse(goauth.drop(left, "https://h/a")) == []
    assert goauth.drop(None, "https://h") is None


def test_a_file_of_another_program_and_one_changed_by_hand_are_refused_without_being_shown() -> None:
    data = written(goauth.stored("https://h", "s3cret"))
    changed = [
        b"#!/bin/sh\necho s3cret\n",
        b"s3cret",
        data.replace(b"text ", b"echo "),
        data.replace(b"'Authorization", b"Authorization"),
        data.replace(b"Bearer s3cret'", b"Bearer s3cret' 'more'"),
        data.replace(b"Authorization: ", b"Authorization"),
        data.replace(b"entry 'https://h'\n", b""),
        data.replace(b"https://h", b"http://h"),
        data.replace(b"s3cret", b"s3cret\r"),
        data.replace(b"s3cret'", b"s3cret'; rm -rf x"),
        data[:-5],
    ]
    for content in changed:
        with pytest.raises(Refused) as caught:
            goauth.put(content, goauth.stored("https://i", "x"))
        assert "s3cret" not in str(caught.value)
    with pytest.raises(Refused, match=r"line \d+"):
        goauth.parse(changed[2])


def test_the_script_of_another_version_is_replaced_and_its_entries_stay() -> None:
    data = written(goauth.stored("https://h", "s"))
    older = data.replace(b"set +xv\n", b"")
    assert older != data
    assert goauth.put(older, goauth.stored("https://h", "s")) == data
    assert goauth.shown(older).startswith("(the script of another version)\n")


# what the script does


@pytest.mark.parametrize("shell", SHELLS, ids=lambda words: os.path.basename(words[0]))
def test_a_secret_from_a_file_or_a_program_becomes_one_header_and_a_bad_one_none(
    shell: list[str], tmp_path: Path
) -> None:
    secret = tmp_path / "it's a secret"
    program = tmp_path / "pro gram"
    program.write_text('#!/bin/sh\ncat\nexec cat "$1"\n')
    program.chmod(0o755)
    data = written(
        goauth.fetched("https://h/file", "file", [str(secret)]),
        goauth.fetched("https://h/name", "file", [str(secret)], name="X-Token"),
        goauth.fetched("https://h/basic", "file", [str(secret)], login="c'i"),
        goauth.fetched("https://h/run", "run", [str(program), str(secret)]),
        goauth.stored("https://h", "always"),
    )
    always = {"h": {"Authorization": "Bearer always"}}
    for text in ("s3cret", "a b'c\"$HOME`\\n%s*", "x" * 5000):
        for ending in ("", "\n"):
            secret.write_text(text + ending)
            pair = base64.b64encode(("c'i:" + text).encode()).decode()
            assert output(data, shell, tmp_path) == (
                {
                    "h/file": {"Authorization": "Bearer " + text},
                    "h/name": {"X-Token": text},
                    "h/basic": {"Authorization": "Basic " + pair},
                    "h/run": {"Authorization": "Bearer " + text},
                    **always,
                },
                0,
                "",
            )
    for bad in (
        b"",
        b"\n",
        b"zyxwv\nX-Evil: 1",
        b"zyxwv\n\nhttps://evil\n\nX: y\n\n",
        b"zyxwv\r\n",
        b"zyxwv\t",
        b"\xc3\nzyxwv: 1",
        b"zyxwv\x1b[",
    ):
        secret.write_bytes(bad)
        found, status, said = output(data, shell, tmp_path)
        assert (found, status) == (always, 0)
        assert said.count("no credentials for https://h/") == 4
        assert "zyxwv" not in said


@pytest.mark.parametrize("shell", SHELLS, ids=lambda words: os.path.basename(words[0]))
def test_asked_about_a_url_it_answers_for_that_one_only(shell: list[str], tmp_path: Path) -> None:
    data = written(
        goauth.stored("https://h", "host"),
        goauth.stored("https://h/a", "a"),
        goauth.stored("https://h/a/b", "b"),
        goauth.fetched("https://h/gone", "file", [str(tmp_path / "none")]),
        goauth.fetched("https://i/gone", "file", [str(tmp_path / "none")]),
        goauth.fetched("https://i/run", "run", ["/bin/echo", "token"]),
    )
    for url, prefix, token in (
        ("https://h/a/b/c.mod", "h/a/b", "b"),
        ("https://h/a/b?go-get=1", "h/a/b", "b"),
        ("https://h/a/b", "h/a/b", "b"),
        ("https://h/a/bc", "h/a", "a"),
        ("https://h/ab?x=/a", "h", "host"),
        ("https://h/gone/x", "h", "host"),
        ("https://i/run/x", "i/run", "token"),
    ):
        wanted = {"Authorization": "Bearer " + token}
        found, status, _said = output(data, shell, tmp_path, url)
        assert (found, status) == ({prefix: wanted, url[8:]: wanted}, 0)
    assert output(data, shell, tmp_path, "https://other/x") == ({}, 0, "")
    assert output(data, shell, tmp_path, "https://i/gonex") == ({}, 0, "")
    found, status, said = output(data, shell, tmp_path, "https://i/gone/x")
    assert (found, status) == ({}, 1)
    assert said == "goauth: no credentials for https://i/gone: %s cannot be read\n" % (tmp_path / "none")
    found, status, said = output(data, shell, tmp_path, "https://i/run/x", answer="HTTP/2.0 404 Not Found\n\n")
    assert (found, status, "not asked again" in said) == ({}, 1, True)
    assert output(data, shell, tmp_path, "https://i/run/x", answer="")[0]["i/run"] == {"Authorization": "Bearer token"}


def test_no_secret_is_an_argument_of_a_process(tmp_path: Path) -> None:
    """Each command that the script starts is one that writes down its arguments."""
    tools = tmp_path / "bin"
    tools.mkdir()
    log = tmp_path / "log"
    log.write_text("")
    for name in ("cat", "base64", "tr"):
        real = shutil.which(name)
        (tools / name).write_text(
            "#!/bin/sh\necho \"%s $*\" >>'%s'\nenv >>'%s'\nexec %s \"$@\"\n" % (name, log, log, real)
        )
        (tools / name).chmod(0o755)
    secret = tmp_path / "secret"
    secret.write_text("zyxwvzyxwvzyxwv")
    data = written(
        goauth.fetched("https://h/a", "file", [str(secret)], login="ci"),
        goauth.fetched("https://h/b", "run", ["/bin/cat", str(secret)]),
        goauth.stored("https://h/c", "zyxwvzyxwvzyxwv"),
    )
    (tmp_path / "helper").write_bytes(data)
    environ = {"PATH": str(tools) + ":" + os.environ["PATH"]}
    done = subprocess.run(
        ["/bin/sh", str(tmp_path / "helper")], env=environ, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True
    )
    assert done.stdout.count(b"zyxwvzyxwvzyxwv") == 2
    assert "base64 \n" in log.read_text()
    assert "zyxwvzyxwvzyxwv" not in log.read_text()


# showing


def test_a_diff_holds_no_secret_and_marks_a_new_one() -> None:
    before = written(goauth.stored("https://h", "hunter1", "ci"), goauth.stored("https://i", "hunter2"))
    after = goauth.put(before, goauth.stored("https://h", "hunter3", "ci"))
    after = goauth.put(after, goauth.stored("https://j", "hunter4", name="X-Token"))
    after = goauth.put(after, goauth.fetched("https://k", "file", ["/run/x"]))
    after = goauth.put(after, goauth.fetched("https://l", "run", ["/bin/x", "--token", "hunter5"], login="ghp_hunter6"))
    assert goauth.shown(after, before) == (
        "https://h\n  Authorization: Basic ci:*** (new)\n"
        "https://i\n  Authorization: Bearer ***\n"
        "https://j\n  X-Token: *** (new)\n"
        "https://k\n  Authorization: Bearer *** from file /run/x (new)\n"
        "https://l\n  Authorization: Basic ***:*** from command /bin/x --token *** (new)\n"
    )
    assert "(new)" not in goauth.shown(before, before)
    assert goauth.shown(None) == ""
    described = [goauth.describe(item) for item in goauth.parse(after)]
    assert [tuple(item) for item in described] == [
        ("basic", "ci", "stored", ""),
        ("bearer", "", "stored", ""),
        ("header", "", "stored", ""),
        ("bearer", "", "file", "/run/x"),
        ("basic", "***", "command", "/bin/x --token ***"),
    ]


# where, and who uses it


@pytest.fixture
def me(tmp_path: Path) -> Account:
    return Account("me", os.geteuid(), os.getegid(), str(tmp_path))


def test_the_helper_lies_beside_the_env_file(me: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert goauth.target(me).path == str(tmp_path / ".config/go/goauth.sh")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/ci")
    assert goauth.target(me).path == "/etc/ci/go/goauth.sh"
    assert goauth.target(me, "/x").path == "/x"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    with pytest.raises(Impossible, match="relative"):
        goauth.target(me)
    monkeypatch.delenv("XDG_CONFIG_HOME")
    for home in ("", str(tmp_path / "none")):
        with pytest.raises(Impossible, match="home"):
            goauth.target(Account("me", me.uid, me.gid, home))


def test_the_setting_names_the_helper_in_goauths_own_grammar() -> None:
    for path in ("/a/b", "/a b/c", "/it's/c", '/a"b/c'):
        value = goauth.setting(path)
        assert value.endswith(";netrc")
        assert goauth.names_helper(value, path)
        assert not goauth.names_helper(value, path + "x")
    for path in ("/a;b", "/a\nb", "/a'b\"c"):
        with pytest.raises(Impossible, match="GOAUTH"):
            goauth.setting(path)
    assert not goauth.names_helper("'open;netrc", "/a")


def test_a_new_helper_is_for_its_owner_only_and_a_link_is_refused(me: Account, tmp_path: Path) -> None:
    where = netrc.Target(str(tmp_path / "deep" / "goauth.sh"), me, "path")
    header = goauth.stored("https://h", "s")
    predicted = netrc.write(where, lambda data: goauth.put(data, header), True)
    assert not (tmp_path / "deep").exists()
    assert netrc.write(where, lambda data: goauth.put(data, header), False) == predicted
    path = Path(where.path)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert not netrc.write(where, lambda data: goauth.put(data, header), False).changed
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(atomic.NotWritten, match="symlink"):
        netrc.write(netrc.Target(str(tmp_path / "link"), me, "path"), lambda data: goauth.put(data, header), False)


def test_writers_at_the_same_time_lose_nothing(me: Account, tmp_path: Path) -> None:
    where = netrc.Target(str(tmp_path / "goauth.sh"), me, "path")
    children = []
    for number in range(12):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                header = goauth.stored("https://h/%d" % number, "t%d" % number)
                netrc.write(where, lambda data, header=header: goauth.put(data, header), False)
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 12
    assert len(goauth.parse(Path(where.path).read_bytes())) == 12


def test_who_leaves_the_helper_out_is_named_and_old_toolchains_are(
    me: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith(("GO", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    where = goauth.target(me)

    def chain(version: str) -> toolchain.Toolchain:
        return toolchain.Toolchain("/opt/" + version, version, "/opt/%s/bin/go" % version, "path", 0)

    chains = [chain("go1.23.4"), chain("go1.24.11"), chain("go1.27.3")]
    monkeypatch.setattr(toolchain, "find", lambda *_args, **_named: chains)

    def unit(name: str, uid: int, environ: dict[str, str]) -> services.Service:
        return services.Service(name, "systemd", "running", uid, 1, environ, sources=("/etc/x.conf",))

    found = [
        unit("other.service", me.uid + 1, {"GOAUTH": "off"}),
        unit("off.service", me.uid, {"GOAUTH": "off"}),
        unit("fine.service", me.uid, {"GOAUTH": "git /x;" + goauth.setting(where.path)}),
    ]
    monkeypatch.setattr(services, "discover", lambda names=(), runners=True, root="": (found, ["a note"]))
    result, notes, old = goauth.overrides(where, "https://h/a")
    assert [(item.effective, item.who) for item in result] == [
        ("netrc", "sessions like this one"),
        ("off", "the processes of off.service"),
    ]
    assert "built into Go; set GOAUTH=/bin/sh %s;netrc" % where.path in goauth.override_text(where, result[0])
    assert "GOAUTH=off" in goauth.override_text(where, result[1])
    assert [note.partition(";")[0][-20:] for note in notes] == ["a note", "ice (golang/go#71889)"[-20:]]
    assert old == ["go1.23.4 (/opt/go1.23.4)"]
    assert goauth.overrides(where, "https://h")[1] == ["a note"]
    (tmp_path / ".config" / "go").mkdir(parents=True)
    (tmp_path / ".config" / "go" / "env").write_text("GOAUTH=%s\n" % goauth.setting(where.path))
    assert [item.effective for item in goauth.overrides(where, "https://h")[0]] == ["off"]


def test_what_go_would_get_nothing_from_is_told_without_running_it(me: Account, tmp_path: Path) -> None:
    place = tmp_path / "x"

    def problem(source: str) -> str:
        return goauth.problem_of(me, goauth.fetched("https://h", source, [str(place)]))

    assert "No such file" in problem("file")
    assert "is no program" in problem("run")
    place.write_text("touch %s/ran\nzyxwv\n" % tmp_path)
    assert "more than one line" in problem("file")
    assert "zyxwv" not in problem("file")
    place.write_text("")
    assert "is empty" in problem("file")
    place.write_text("zyxwv\n")
    assert problem("file") == ""
    place.chmod(0o600)
    assert "may not be run" in problem("run")
    place.chmod(0o700)
    assert problem("run") == goauth.problem_of(me, goauth.stored("https://h", "x")) == ""
    assert not (tmp_path / "ran").exists()


def test_urls_that_most_are_not_written_like_are_told() -> None:
    assert [len(goauth.hints(url)) for url in ("https://H.example/x", "https://h:443/x", "https://h:8443/X")] == [
        1,
        1,
        0,
    ]
