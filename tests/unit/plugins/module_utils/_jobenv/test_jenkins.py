# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gofleet.cache.plugins.module_utils._jobenv import base, engine, jenkins
from ansible_collections.gofleet.cache.tests.fixtures import jenkins_nodes

EMPTY = jenkins_nodes.NODE % "build1"
PROPERTY = """\
<nodeProperties>
    <hudson.slaves.EnvironmentVariablesNodeProperty>
      <envVars serialization="custom">
        <unserializable-parents/>
        <tree-map>
          <default>
            <comparator class="java.lang.String$CaseInsensitiveComparator"/>
          </default>
          <int>2</int>
          <string>GOPROXY</string>
          <string>https://proxy.example.com|direct</string>
          <string>LANG</string>
          <string>C &amp; &lt;D&gt;</string>
        </tree-map>
      </envVars>
    </hudson.slaves.EnvironmentVariablesNodeProperty>
  </nodeProperties>"""
TOOLS = """\
<nodeProperties>
    <hudson.tools.ToolLocationNodeProperty>
      <locations/>
    </hudson.tools.ToolLocationNodeProperty>
    <!-- nodeProperties/ -->
  </nodeProperties>"""
FULL = EMPTY.replace("<nodeProperties/>", PROPERTY)
# A controller's own file; only the property of its root element is the built-in node's.
CONTROLLER = """\
<?xml version='1.1' encoding='UTF-8'?>
<hudson>
  <numExecutors>2</numExecutors>
  <clouds/>
  <slaves>
    <slave><nodeProperties/></slave>
  </slaves>
  <label></label>
  <nodeProperties/>
  <globalNodeProperties>
    %s
  </globalNodeProperties>
</hudson>""" % PROPERTY.replace("\n", "\n  ")
NAMES = st.sampled_from(["GOPROXY", "GOFLAGS", "LANG", "_A", "a1", "Z", "ABC", "Abd"])
VALUES = st.text(
    st.characters(min_codepoint=32, exclude_characters="\x7f$", exclude_categories=["Cs", "Cn"]), max_size=12
)


def edit(text: str, **changes: Optional[str]) -> str:
    done = jenkins.edit(text.encode("utf-8"), "build1", changes)
    assert done is not None
    return done.decode("utf-8")


def read(text: str) -> Dict[str, str]:
    return jenkins.read(text.encode("utf-8"), "build1")


def test_variables_are_read_with_their_entities() -> None:
    assert read(FULL) == {"GOPROXY": "https://proxy.example.com|direct", "LANG": "C & <D>"}
    assert read(EMPTY) == {}
    text = FULL.replace("<string>C &amp; &lt;D&gt;</string>", "<string>a<![CDATA[<&]]>&#x41;&#66;<!-- no --></string>")
    assert read(text)["LANG"] == "a<&AB"


def test_a_new_variable_goes_to_its_place_in_the_order_and_the_number_is_right() -> None:
    done = edit(FULL, gosumdb="off", A="1", z="2")
    rows = [row.strip() for row in done.split("\n") if "<string>" in row or "<int>" in row]
    assert rows[0] == "<int>5</int>"
    names = [row[8:-9] for row in rows[1::2]]
    assert names == ["A", "GOPROXY", "gosumdb", "LANG", "z"]
    assert jenkins_nodes.variables(done.encode()) == read(done)


@pytest.mark.parametrize("name", ["EMPTY", "FULL", "TOOLS", "CONTROLLER", "CRLF", "INLINE", "CLASS"])
def test_what_is_set_and_removed_again_leaves_the_same_bytes(name: str) -> None:
    text = {
        "EMPTY": EMPTY,
        "FULL": FULL,
        "TOOLS": EMPTY.replace("<nodeProperties/>", TOOLS),
        "CONTROLLER": CONTROLLER,
        "CRLF": FULL.replace("\n", "\r\n"),
        "INLINE": FULL.replace("\n", "").replace("    ", ""),
        "CLASS": EMPTY.replace("<nodeProperties/>", '<nodeProperties class="hudson.util.DescribableList" />'),
    }[name]
    before = read(text)
    done = edit(text, GOSUMDB="off", AA="'\"", zz="é")
    assert read(done) == {**before, "GOSUMDB": "off", "AA": "'\"", "zz": "é"}
    assert jenkins_nodes.variables(done.encode("utf-8")) == read(done)
    assert edit(done, GOSUMDB="off", zz="é") == done
    assert edit(done, GOSUMDB=None, AA=None, zz=None) == text


def test_of_a_controllers_file_only_the_built_in_nodes_own_property_changes() -> None:
    assert read(CONTROLLER) == {}
    done = edit(CONTROLLER, GOPROXY="off")
    head, tail = CONTROLLER.split("  <nodeProperties/>\n")
    assert done.startswith(head + "  <nodeProperties>\n    <hudson.slaves.EnvironmentVariablesNodeProperty>\n")
    assert done.endswith("  </nodeProperties>\n" + tail)


def test_a_node_without_a_list_of_properties_gets_one() -> None:
    done = edit(EMPTY.replace("  <nodeProperties/>\n", ""), GOPROXY="off")
    assert read(done) == {"GOPROXY": "off"}
    assert edit(done, GOPROXY=None) == EMPTY


def test_the_last_variable_takes_its_property_with_it_unless_something_refers_to_it() -> None:
    assert edit(FULL, GOPROXY=None, LANG=None) == EMPTY
    other = (
        '<x><comparator reference="../../nodeProperties/%s/envVars/tree-map/default/comparator"/></x>'
        % jenkins.PROPERTY
    )
    done = edit(FULL.replace("</slave>", other + "</slave>"), GOPROXY=None, LANG=None)
    assert "<int>0</int>" in done
    assert read(done) == {}
    assert read(edit(done, A="b")) == {"A": "b"}


def test_a_name_that_differs_in_capitals_only_is_replaced_as_the_map_holds_one() -> None:
    done = edit(FULL, goproxy="off")
    assert read(done) == {"goproxy": "off", "LANG": "C & <D>"}
    assert edit(FULL, goproxy=None) == FULL
    with pytest.raises(base.BadPlace, match="capitals"):
        edit(FULL, goproxy="off", GoProxy="off")


@pytest.mark.parametrize("value", ["$HOME/go", "a${B}", "$$", "$1"])
def test_what_jenkins_would_expand_is_refused(value: str) -> None:
    with pytest.raises(base.BadPlace, match="expands"):
        edit(FULL, A=value)
    assert read(edit(FULL, A="a$ $/ ${-}"))["A"] == "a$ $/ ${-}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<int>2</int>", "<int>3</int>"),
        ("<int>2</int>", ""),
        ("<string>LANG</string>", "<null/>"),
        ('<envVars serialization="custom">', "<vars>"),
        ("<?xml", "<!DOCTYPE slave [<!ENTITY a 'b'>]><?xml"),
        ("UTF-8", "ISO-8859-1"),
        ("LANG", "&undefined;"),
        ("LANG", "&#xd800;"),
        ("LANG", "a & b"),
        ("</slave>", ""),
        ("<label>", "<label a=b>"),
        ("</slave>", "</slave><slave/>"),
        ("</nodeProperties>", "</nodeProperties><nodeProperties/>"),
    ],
)
def test_what_jenkins_does_not_write_is_refused(old: str, new: str) -> None:
    text = FULL.replace(old, new)
    assert text != FULL
    with pytest.raises(base.BadPlace):
        edit(text, A="b")


def test_a_deep_document_is_refused_without_exhausting_the_stack() -> None:
    with pytest.raises(base.BadPlace, match="deeply"):
        read("<a>" * 100000)


@given(
    st.dictionaries(NAMES, VALUES, max_size=5),
    st.dictionaries(NAMES, st.none() | VALUES, max_size=5),
    st.sampled_from([EMPTY, EMPTY.replace("<nodeProperties/>", TOOLS), CONTROLLER]),
)
def test_an_edit_gives_what_was_wanted_and_changes_nothing_else(
    first: Dict[str, str], changes: Dict[str, Optional[str]], text: str
) -> None:
    before = edit(text, **first)
    done = edit(before, **changes)
    want = {name: value for name, value in {**first, **changes}.items() if value is not None}
    assert read(done) == want
    assert edit(done, **changes) == done
    assert edit(done, **dict.fromkeys(want)) == text
    if max("".join(want.values()), default="") < "\x80":
        assert jenkins_nodes.variables(done.encode("utf-8")) == want


@given(st.text(max_size=60))
def test_no_text_makes_the_reader_fail_otherwise_than_it_says(text: str) -> None:
    for data in (text, FULL.replace("LANG", text), "<a>" + text):
        try:
            jenkins.read(data.encode("utf-8", "replace"), "x")
        except base.BadPlace:
            continue


@pytest.fixture
def controller() -> Iterator[jenkins_nodes.Controller]:
    with jenkins_nodes.Controller() as served:
        served.node("build1")
        served.node("build two/ü")
        yield served


def place(controller: jenkins_nodes.Controller, name: str = "build1") -> Tuple[base.Place, jenkins.Login]:
    login = jenkins.Login(controller.url, "admin", "token-of-admin")
    found = jenkins.KIND.find(base.Request(paths=(controller.url,), names=(name,)))
    return found.places[0], login


@pytest.mark.parametrize("name", ["build1", "build two/ü"])
def test_a_node_is_loaded_edited_and_saved_by_the_api(controller: jenkins_nodes.Controller, name: str) -> None:
    there, login = place(controller, name)
    assert engine.remote(there)
    before = jenkins.load(there, login)
    data = jenkins.edit(before, name, {"GOPROXY": "off"})
    assert data is not None
    jenkins.save(there, data, login, before)
    assert jenkins_nodes.variables(controller.nodes[name]) == {"GOPROXY": "off"}
    assert not any("crumb" in line for line in controller.log)


def test_a_password_is_used_with_a_crumb_of_its_session(controller: jenkins_nodes.Controller) -> None:
    controller.passwords["human"] = "secret"
    there, login = place(controller)
    login = login._replace(username="human", token="secret")
    data = jenkins.edit(jenkins.load(there, login), "build1", {"GOPROXY": "off"})
    assert data is not None
    jenkins.save(there, data, login)
    assert jenkins_nodes.variables(controller.nodes["build1"]) == {"GOPROXY": "off"}


def test_what_somebody_else_has_changed_is_not_written_over(controller: jenkins_nodes.Controller) -> None:
    there, login = place(controller)
    before = jenkins.load(there, login)
    controller.node("build1", FULL)
    with pytest.raises(base.BadPlace, match="somebody else"):
        jenkins.save(there, before, login, before)
    assert controller.nodes["build1"] == FULL.encode()


def test_a_save_that_the_controller_forgets_is_no_success(controller: jenkins_nodes.Controller) -> None:
    there, login = place(controller)
    data = jenkins.edit(jenkins.load(there, login), "build1", {"GOPROXY": "off"})
    assert data is not None
    controller.fault = "ignore"
    with pytest.raises(base.BadPlace, match="its variables are others"):
        jenkins.save(there, data, login)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("redirect", "not followed"),
        ("stall", "no answer"),
        ("huge", "more than"),
        ("html", "document type"),
        ("403", "Agent/Configure"),
        ("404", "no such node"),
        ("500", "controller failed"),
        ("418", "HTTP 418"),
    ],
)
def test_every_failure_says_what_to_do_and_no_secret(
    controller: jenkins_nodes.Controller, fault: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jenkins, "SECONDS", 1.0)
    there, login = place(controller)
    controller.fault = fault
    with pytest.raises(base.BadPlace, match=says) as error:
        jenkins.load(there, login)
    assert "token-of-admin" not in str(error.value)
    assert "hidden" not in str(error.value)


def test_a_wrong_token_and_a_dead_controller_are_told_apart(controller: jenkins_nodes.Controller) -> None:
    there, login = place(controller)
    with pytest.raises(base.BadPlace, match="401"):
        jenkins.load(there, login._replace(token="wrong"))
    controller.server.server_close()
    with pytest.raises(base.BadPlace, match="no answer"):
        jenkins.load(there, login._replace(url=controller.url))


@pytest.mark.parametrize(
    "url",
    [
        "http://jenkins.example.com",
        "https://user:hidden@jenkins.example.com",
        "ftp://127.0.0.1",
        "https://",
        "https://jenkins.example.com:x",
        "https://a b",
        "https://jenkins.example.com/?x=1",
    ],
)
def test_a_url_that_a_token_must_not_go_to_is_refused_before_anything_is_sent(url: str) -> None:
    login = jenkins.Login(url, "admin", "token-of-admin")
    with pytest.raises(base.BadPlace) as error:
        jenkins.remote(login)
    assert "token-of-admin" not in str(error.value) + repr(login)
    assert "hidden" not in str(error.value)


def test_a_token_goes_to_no_place_outside_the_controller(controller: jenkins_nodes.Controller) -> None:
    there, login = place(controller)
    with pytest.raises(base.BadPlace, match="not below"):
        jenkins.load(there, login._replace(url="https://other.example.com"))
    with pytest.raises(base.BadPlace, match="not below"):
        jenkins.load(there._replace(path="/var/lib/jenkins/config.xml"), login)
    assert controller.log == []


def test_the_built_in_node_is_refused_with_advice(controller: jenkins_nodes.Controller) -> None:
    there, login = place(controller, jenkins.BUILT_IN)
    with pytest.raises(base.BadPlace, match="built-in"):
        jenkins.load(there, login)


def test_the_nodes_of_a_controller_are_listed_and_those_of_clouds_are_not_reached(
    controller: jenkins_nodes.Controller,
) -> None:
    controller.clouds = ["pod-1"]
    login = jenkins.Login(controller.url + "/", "admin", "token-of-admin")
    found = jenkins.remote(login)
    assert [there.part for there in found.places] == ["build two/ü", "build1"]
    assert [jenkins.load(there, login) for there in found.places] == [
        controller.nodes["build two/ü"],
        controller.nodes["build1"],
    ]
    assert ["built-in" in row.who or "pod-1" in row.who for row in found.not_reached] == [True, True]
    only = jenkins.remote(login, ("build1", "none"))
    assert [there.part for there in only.places] == ["build1"]
    assert not only.not_reached
    assert "'none'" in only.problems[0]


def test_a_missing_or_broken_ca_file_is_said(tmp_path: Path) -> None:
    bad = tmp_path / "ca.pem"
    bad.write_text("no certificate")
    for ca_file in (str(bad), str(tmp_path / "none")):
        with pytest.raises(base.BadPlace, match=r"ca\.pem|none"):
            jenkins.remote(jenkins.Login("https://127.0.0.1:1", "a", "b", ca_file))


def _home(root: Path) -> Path:
    home = root / "var/lib/jenkins"
    for name in ("build1", "build2"):
        (home / "nodes" / name).mkdir(parents=True)
        (home / "nodes" / name / "config.xml").write_text(jenkins_nodes.NODE % name)
    (home / "config.xml").write_text(CONTROLLER)
    return home


def test_the_nodes_of_a_controllers_home_are_places(tmp_path: Path) -> None:
    home = _home(tmp_path)
    found = jenkins.KIND.find(base.Request(root=str(tmp_path)))
    assert [(there.path, there.part, there.where_jobs_run) for there in found.places] == [
        (str(home / "config.xml"), "(built-in)", "host"),
        (str(home / "nodes/build1/config.xml"), "build1", "elsewhere"),
        (str(home / "nodes/build2/config.xml"), "build2", "elsewhere"),
    ]
    assert all("Reload Configuration" in there.then and not engine.remote(there) for there in found.places)
    assert not found.not_reached
    only = jenkins.KIND.find(base.Request(root=str(tmp_path), names=("build2",)))
    assert [there.part for there in only.places] == ["build2"]
    paths = (str(home / "nodes/build1/config.xml"), str(home / "config.xml"))
    named = jenkins.KIND.find(base.Request(paths=paths))
    assert [there.part for there in named.places] == ["build1", "(built-in)"]


def test_agents_of_clouds_and_a_broken_file_are_told(tmp_path: Path) -> None:
    home = _home(tmp_path)
    cloud = "<clouds><org.csanchez.jenkins.plugins.kubernetes.KubernetesCloud/></clouds>"
    (home / "config.xml").write_text(CONTROLLER.replace("<clouds/>", cloud))
    found = jenkins.KIND.find(base.Request(root=str(tmp_path)))
    assert len(found.places) == 3
    assert "KubernetesCloud" in found.not_reached[0].who
    (home / "config.xml").write_bytes(b"<hudson>\xff")
    found = jenkins.KIND.find(base.Request(root=str(tmp_path)))
    assert len(found.problems) == 1
    assert str(home / "config.xml") in found.problems[0]


def test_an_agent_without_its_controller_is_not_reached_and_told_what_to_do(tmp_path: Path) -> None:
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    (units / "jenkins-agent.service").write_text(
        "[Service]\nUser=jenkins\nExecStart=/usr/bin/java -jar /opt/agent.jar -workDir /srv/agent\n"
    )
    found = jenkins.KIND.find(base.Request(root=str(tmp_path)))
    assert not found.places
    assert len(found.not_reached) == 1
    assert "jenkins-agent.service" in found.not_reached[0].advice
    assert "URL" in found.not_reached[0].advice
