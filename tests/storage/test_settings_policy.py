"""The rules in the settings: every mistake at once, and nothing that is wrong becomes a weaker rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from cockpit.policy_rules import rules_of
from cockpit.storage.settings import Settings, load_lenient

GROUPS = "[groups]\nrelease = ['a@x.org', 'b@x.org']\nrisk = ['c@x.org']\n"
TWO = "[services.gateway]\nrepository='g'\n[services.risk-engine]\nrepository='r'\n"
STRATEGY = "[strategies.canary]\nsteps = ["
REST = "{do='deploy', nodes=['rest']}]\n"


def read(tmp_path: Path, text: str) -> tuple[Settings, tuple[str, ...]]:
    path = tmp_path / "cockpit.toml"
    path.write_text(text, "utf-8")
    settings, error = load_lenient(path)
    return settings, error.problems if error is not None else ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[groups]\nrelease = []\n", "groups.release: has no members"),
        ("[groups]\nrelease = ['nobody']\n", 'groups.release[0]: "nobody" is no e-mail address'),
        ("[groups]\nrelease = ['a@x.org', 'A@X.org']\n", 'groups.release[1]: "A@X.org" stands there twice'),
        ("[groups]\nrelease = 'a@x.org'\n", 'groups.release: expected a list, got text "a@x.org"'),
        (
            GROUPS + "[environments.p]\ngroups=['relase']\n",
            'environments.p.groups[0]: there is no group "relase" (did you mean "release"?)',
        ),
        (
            GROUPS + "[environments.p]\napprovals=1\nquorum={rsk=1}\n",
            'environments.p.quorum.rsk: there is no group "rsk" (did you mean "risk"?)',
        ),
        (GROUPS + "[environments.p]\napprovals=1\nquorum={risk=0}\n", "environments.p.quorum.risk: must be at least 1, not 0"),
        (
            GROUPS + "[environments.p]\napprovals=2\nquorum={risk=2}\n",
            "environments.p.quorum.risk: must be at most 1, as many people as are in this group, not 2",
        ),
        (
            GROUPS + "[environments.p]\napprovals=1\nquorum={release=2}\n",
            'environments.p.approvals: must be at least 2 for the quorum of "release", not 1',
        ),
        (
            GROUPS + "[environments.p]\napprovals=3\ngroups=['release']\n",
            "environments.p.approvals: must be at most 2, as many people as are in the groups, not 3",
        ),
        (
            GROUPS + "[environments.p]\napprovals=4\ngroups=['release']\nquorum={risk=1}\n",
            "environments.p.approvals: must be at most 3, as many people as are in the groups, not 4",
        ),
        (
            "[environments.p]\napart=['athor']\n",
            'environments.p.apart[0]: must be one of "author", "deployer", "requester", not "athor" (did you mean "author"?)',
        ),
        ("[environments.p]\nstrategy='x'\n", 'environments.p.strategy: there is no strategy "x"'),
        (
            "[environments.p]\nfreezes=['funding']\n",
            'environments.p.freezes[0]: must be one of "deribit-expiry", "funding-8h", not "funding" (did you mean "funding-8h"?)',
        ),
        (GROUPS + "[overrides]\nclear=['rik']\n", 'overrides.clear[0]: there is no group "rik" (did you mean "risk"?)'),
        ("[approvals]\nopenpgp={'a@x.org'='1234'}\n", "must be a whole fingerprint of 40 or 64 hexadecimal digits"),
        ("[approvals]\nopenpgp={'bob'='" + "A" * 40 + "'}\n", 'approvals.openpgp.bob: "bob" is no e-mail address'),
        ("[approvals]\nrevoked_keys='r'\n", "approvals.allowed_signers: missing, for there are revoked_keys"),
        ("[approvals]\nremote='--upload-pack=x'\n", 'approvals.remote: "--upload-pack=x" cannot be a git remote'),
        ("[policy]\nrepository='p'\nremote='ext::sh -c x'\n", 'policy.remote: "ext::sh -c x" cannot be a git remote'),
        ("[policy]\nremote='origin'\n", "policy.repository: missing, for there is a policy.remote"),
        ("[policy]\nrepository='https://x.org/p.git'\n", "policy.repository: must be a folder on this machine"),
        ("[policy]\nrepository='p'\nref='a b'\n", 'policy.ref: "a b" cannot be the name of a branch'),
        ("[policy]\nrepository='p'\nfile='../x'\n", "policy.file: must be the path of a file inside the repository"),
        ("[me]\nsigning='ssh'\n", 'me.signing_key: missing, for me.signing is "ssh"'),
        ("[me]\nsigning_key='k'\n", 'me.signing: must be "ssh" or "openpgp", for there is a me.signing_key'),
        (TWO + "[sets.s]\nservices=['gateway']\n", "sets.s.services: must name two services or more"),
        (
            TWO + "[sets.s]\nservices=['gateway', 'risk-engin']\n",
            'sets.s.services[1]: there is no service "risk-engin" (did you mean "risk-engine"?)',
        ),
    ],
)
def test_mistakes_in_who_may_what(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in "\n".join(read(tmp_path, text)[1])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("depends_on=['gatway']", 'services.a.depends_on[0]: there is no service "gatway" (did you mean "gateway"?)'),
        ("depends_on=['gateway==1']", 'services.a.depends_on[0]: must be "name" or "name>=version", not "gateway==1"'),
        ("depends_on=['gateway>=']", 'services.a.depends_on[0]: must be "name" or "name>=version", not "gateway>="'),
        ("depends_on=['gateway', 'gateway>=1']", 'services.a.depends_on[1]: "gateway" stands there twice'),
        ("depends_on=['a']", "services.a.depends_on: waits for itself: a after a"),
        ("one_way={'1.0'=' '}", 'services.a.one_way."1.0": must give the reason'),
        ("one_way={'now'='x'}", 'services.a.one_way.now: "now" is no version'),
        (
            "safe_until={'1.0'='2026-13-01'}",
            'services.a.safe_until."1.0": must be a date such as 2026-12-01 or a version, not "2026-13-01"',
        ),
        ("safe_until={'1.0'='soon'}", 'services.a.safe_until."1.0": must be a date such as 2026-12-01 or a version, not "soon"'),
        ("safe_until={'1.0'='2.0'}\none_way={'1.0'='x'}", 'services.a.safe_until."1.0": is one-way already'),
    ],
)
def test_a_service_whose_order_or_way_back_is_wrong_is_left_out(tmp_path: Path, line: str, problem: str) -> None:
    settings, problems = read(tmp_path, f"[services.gateway]\nrepository='g'\n[services.a]\nrepository='x'\n{line}\n")
    assert problem in problems
    assert set(settings.services) == {"gateway"}


def test_a_circle_of_services_is_told_with_its_way(tmp_path: Path) -> None:
    text = "".join(
        f"[services.{n}]\nrepository='x'\ndepends_on=['{d}']\n" for n, d in (("a", "b"), ("b", "c>=1.0"), ("c", "a"), ("d", "a"))
    )
    settings, problems = read(tmp_path, text)
    assert problems[0] == "services.a.depends_on: waits for itself: a after b after c after a"
    assert len(problems) == 3
    assert set(settings.services) == {"d"}


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ("]\n", "steps: missing: a strategy has at least one step"),
        ("{do='hold'}]\n", "steps: no step deploys"),
        ("{do='deploy'}]\n", "steps[0].nodes: missing, for the step is to deploy"),
        ("{do='bake'}, " + REST, "steps[0].seconds: missing, for the step is to bake"),
        ("{do='bake', seconds=-1}, " + REST, "steps[0].seconds: must be at least 0, not -1"),
        ("{do='gate'}, " + REST, "steps[0].ask: missing, for the step is to gate"),
        ("{do='gate', ask=['chekcs']}, " + REST, '(did you mean "checks"?)'),
        ("{do='mode'}, " + REST, "steps[0].mode: missing, for the step is to mode"),
        ("{do='weight'}, " + REST, "steps[0].percent: missing, for the step is to weight"),
        ("{do='weight', percent=101}, " + REST, "steps[0].percent: must be at most 100, not 101"),
        ("{do='hold', seconds=5}, " + REST, "steps[0].seconds: does not fit: hold takes nothing else"),
        ("{do='bake', seconds=5, nodes=['1']}, " + REST, "steps[0].nodes: does not fit: bake takes seconds"),
        ("{do='deploi', nodes=['1']}, " + REST, '(did you mean "deploy"?)'),
        ("{nodes=['1']}, " + REST, "steps[0].do: missing"),
        ("{do='deploy', nodes=['1']}]\n", 'must be "rest" or "all" in the last deploy step: some nodes would keep the old version'),
        ("{do='deploy', nodes=['0']}, " + REST, "steps[0].nodes[0]: must be at least 1, not 0"),
        ("{do='deploy', nodes=['50 %']}, " + REST, 'must be a count, "rest", "all" or a pattern of names, not "50 %"'),
        ("{do='deploy', nodes=['rest', 'x-1']}]\n", 'steps[0].nodes[0]: "rest" stands alone'),
        ("{do='deploy', nodes=['all']}, " + REST, 'steps[1].nodes: nothing is left to deploy to after "all" in step 1'),
        (
            "{do='deploy', nodes=['1']}, {do='deploy', nodes=['all']}]\n",
            'steps[1].nodes: must be "rest", not "all": step 1 deploys to some of them already',
        ),
    ],
)
def test_a_strategy_with_a_mistake_is_left_out_and_so_is_who_uses_it(tmp_path: Path, steps: str, problem: str) -> None:
    settings, problems = read(tmp_path, f"{STRATEGY}{steps}[environments.p]\nstrategy='canary'\n[environments.q]\n")
    assert problem in "\n".join(problems)
    assert len(problems) == 1
    assert settings.strategies == {}
    assert set(settings.environments) == {"q"}


def test_a_quorum_may_be_of_a_group_that_does_not_approve_otherwise(tmp_path: Path) -> None:
    """Its members approve, too: so it is counted when somebody decides."""
    settings, problems = read(tmp_path, GROUPS + "[environments.p]\napprovals=3\ngroups=['release']\nquorum={risk=1}\n")
    assert not problems
    rule = rules_of(settings).approvals["p"]
    assert all(rule.may(who) for who in ("a@x.org", "b@x.org", "c@x.org"))
    assert not rule.may("d@x.org")


def test_two_equal_steps_are_two_steps(tmp_path: Path) -> None:
    settings, problems = read(tmp_path, f"{STRATEGY}{{do='hold'}}, {{do='hold'}}, {REST}")
    assert problems == ()
    assert [s.do for s in settings.strategies["canary"].steps] == ["hold", "hold", "deploy"]


def test_patterns_may_reach_every_node_as_far_as_anybody_knows(tmp_path: Path) -> None:
    text = f"{STRATEGY}{{do='deploy', nodes=['*-green-*']}}, {{do='deploy', nodes=['*-blue-*']}}]\n"
    assert read(tmp_path, text)[1] == ()


@pytest.mark.parametrize(
    "fault",
    ["[groups]\nrelease=['a@x.org', 'oops']\n", "[groups]\nrelease=3\n", "[groups]\nrelease=[]\n"],
)
def test_an_environment_rests_on_its_groups(tmp_path: Path, fault: str) -> None:
    settings, problems = read(tmp_path, f"{fault}[environments.p]\napprovals=1\ngroups=['release']\n[environments.q]\n")
    assert len(problems) == 1
    assert settings.groups == {}
    assert set(settings.environments) == {"q"}


@pytest.mark.parametrize(
    "fault",
    ["[approvals]\nallowed_signer='s'\n", "[approvals]\nallowed_signers=3\n", "approvals=3\n", "[aprovals]\nallowed_signers='s'\n"],
)
def test_where_signatures_may_have_been_asked_for_unsigned_words_do_not_count(tmp_path: Path, fault: str) -> None:
    settings, problems = read(tmp_path, f"{fault}[environments.p]\napprovals=1\n[environments.q]\n")
    assert len(problems) == 1
    assert set(settings.environments) == {"q"}


@pytest.mark.parametrize(
    "fault",
    [
        "[overrides]\nclear='risk'\n",
        "[overrides]\nclear=['nope']\n",
        "[overrides]\ncler=['risk']\n",
        "overrides=1\n",
        "[overides]\nclear=['risk']\n",
    ],
)
def test_a_mistake_in_who_clears_holds_means_nobody(tmp_path: Path, fault: str) -> None:
    settings, problems = read(tmp_path, fault + GROUPS)
    assert len(problems) == 1
    assert settings.overrides.clear
    assert settings.members(settings.overrides.clear) == frozenset()


def test_a_set_rests_on_its_services(tmp_path: Path) -> None:
    text = TWO + "depends_on=['nope']\n[sets.s]\nservices=['gateway', 'risk-engine']\n"
    settings, problems = read(tmp_path, text)
    assert len(problems) == 1
    assert settings.sets == {}


def test_members_are_in_lower_case_and_paths_are_absolute(tmp_path: Path) -> None:
    text = (
        "[me]\nemail='a@x.org'\nsigning='ssh'\nsigning_key='keys/me'\n[groups]\nrelease=['A@X.org']\n"
        "[approvals]\nallowed_signers='signers'\nrevoked_keys='revoked'\n"
        "openpgp={'A@x.org'='0123 4567 89ab cdef 0123 4567 89AB CDEF 0123 4567'}\n"
        "[policy]\nrepository='../policy'\n"
    )
    settings, problems = read(tmp_path, text)
    assert problems == ()
    assert settings.members(("release", "nobody")) == {"a@x.org"}
    assert settings.approvals.openpgp == {"a@x.org": "0123456789ABCDEF0123456789ABCDEF01234567"}
    assert settings.approvals.allowed_signers == str(tmp_path / "signers")
    assert settings.approvals.revoked_keys == str(tmp_path / "revoked")
    assert settings.me.signing_key == str(tmp_path / "keys/me")
    assert settings.policy.repository == str(tmp_path / "../policy")


def test_many_mistakes_in_many_sections_are_told_at_once(tmp_path: Path) -> None:
    text = (
        "[groups]\nrelease=['x']\n[environments.p]\nquorum={a=1}\nfreezes=['f']\nstrategy='s'\n[overrides]\nfreeze=['g']\n"
        "[services.a]\nrepository='x'\ndepends_on=['b']\n[policy]\nremote='o'\n[me]\nsigning='ssh'\n"
    )
    assert len(read(tmp_path, text)[1]) == 8


# -- the watch over deployments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("automatic='yes'", 'environments.p.watch.automatic: expected true or false, got text "yes"'),
        ("automatik=true", 'environments.p.watch.automatik: unknown key (did you mean "automatic"?)'),
        ("minutes=0", "environments.p.watch.minutes: must be at least 1, not 0"),
        ("countdown_s=1", "environments.p.watch.countdown_s: must be at least 5, not 1"),
        ("limit=1", "environments.p.watch.limit: must be at least 1.01, not 1"),
        ("error_ratio=5", "environments.p.watch.error_ratio: must be at most 1, not 5"),
        ("tolerated=1.3", "environments.p.watch.tolerated: must be below the limit (1.25), not 1.3"),
        ("limit=3", "environments.p.watch.p99_ratio: must be at least the limit (3), not 2"),
        (
            "oldest_failure_minutes=1",
            "environments.p.watch.oldest_failure_minutes: must be more than settle_s and countdown_s together (1.5 minutes), not 1",
        ),
        (
            "rollback_on=['rumour']",
            'environments.p.watch.rollback_on[0]: must be one of "alerts", "drift", "verdict", not "rumour"',
        ),
        (
            "rollback_on=[]\nautomatic=true",
            "environments.p.watch.rollback_on: must name something to roll back on where automatic = true",
        ),
    ],
)
def test_a_watch_with_a_mistake_leaves_its_environment_out(tmp_path: Path, text: str, problem: str) -> None:
    settings, problems = read(tmp_path, f"[environments.p.watch]\n{text}\n[environments.q]\n")
    assert problems == (problem,)
    assert set(settings.environments) == {"q"}, "with a default in its place something could happen that the file forbids"


def test_a_watch_becomes_the_rule_of_its_environment(tmp_path: Path) -> None:
    given = "automatic=true\nrollback_on=['verdict','alerts']\ncountdown_s=45\nin_freeze=true\nminutes=30\nrequests=0\np99_ms=250\n"
    settings, problems = read(tmp_path, f"[environments.p.watch]\n{given}[environments.q]\n")
    rules = rules_of(settings)
    rule = rules.watch("p")
    assert problems == ()
    assert (rule.automatic, rule.countdown_s, rule.in_freeze, rule.minutes, rule.requests, rule.p99_ms) == (True, 45, True, 30, 0, 250)
    assert rule.rollback_on == ("verdict", "alerts")
    assert (rules.watch("q").automatic, rules.watch("q").rollback_on) == (False, ("verdict",))
    assert rules.watch("nowhere") == rules.watch("q")
