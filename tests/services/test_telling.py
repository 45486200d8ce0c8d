"""People are told once, by real receivers, and never at the price of an action."""

from __future__ import annotations

import email
import email.policy
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.connectors.ports import Message
from cockpit.connectors.webhook import SlackWebhook
from cockpit.domain.approvals import ApprovalRule
from cockpit.domain.checks import CheckState
from cockpit.domain.errors import OutcomeUnknown, Rejected
from cockpit.domain.facts import Fact, place
from cockpit.domain.lines import Line, LineState
from cockpit.domain.metrics import Band, LatencyPoint
from cockpit.domain.policy import Rules
from cockpit.domain.rollout import Action, ActionState
from cockpit.domain.statements import Statement
from cockpit.domain.strategy import Rollout, RolloutState, Step, StepRun
from cockpit.services.connections import Connected
from cockpit.services.notices import Severity
from cockpit.services.store import LatencyStatus
from cockpit.services.telling import LOOK_S, UNKNOWN_S, Telling
from tests.connectors.conftest import RoughServer
from tests.connectors.test_mail import ANN, BEN, MailServer, mail_to
from tests.fakes.certificate import write_certificate
from tests.fakes.rig import D3, Rig

ADA = "Ada <ada@example.org>"


class Ear:
    """A notifier that keeps what it was told."""

    def __init__(self) -> None:
        self.heard: list[tuple[Message, str]] = []
        self.error: Exception | None = None

    def notify(self, message: Message, key: str) -> None:
        if self.error is not None:
            raise self.error
        self.heard.append((message, key))

    @property
    def words(self) -> list[tuple[str, str]]:
        return [(m.kind, m.title) for m, _ in self.heard]


class Told(Rig):
    """The rig with notifiers."""

    def __init__(self, folder: Path, clock: Any, *ears: Any) -> None:
        super().__init__(folder, clock)
        made = tuple(Connected(f"ear{n}", f"Ear {n}", "x", ("Notifier",), ("gw",), ear) for n, ear in enumerate(ears))
        self.connections.replace((*self.connections.all, *made))
        self.telling = self.another()

    def another(self) -> Telling:
        """As a process that starts again makes it."""
        parts = (self.store, self.runner, self.main, self.journal, self.connections, self.notices, self.clock)
        telling = Telling(*parts)
        telling.who = "ada@example.org"
        telling.rules = Rules(approvals={"prod": ApprovalRule(1)})
        return telling

    def move(self, state: ActionState, **fields: Any) -> Action:
        known = self.store.state.actions.get("k1")
        start = {"state": state, "intended_at_us": fields.pop("intended_at_us", self.clock())}
        begun = known or Action("k1", fields.pop("kind", "deploy"), "gw", "prod", "1.7.0", "d2", "1.8.0", D3, ADA, **start)
        moved = replace(begun, state=state, **fields)
        self.store.merge("actions", {"k1": moved})
        if state.final:
            self.telling.heard(moved)
        self.main.settle()
        return moved


@pytest.fixture
def opened(tmp_path: Path, fake_clock: Any) -> Iterator[Callable[..., Told]]:
    made: list[Told] = []

    def build(*ears: Any) -> Told:
        made.append(Told(tmp_path, fake_clock, *ears))
        return made[0]

    yield build
    for rig in made:
        rig.telling.close()
        rig.database.close()


PROOF = (Line(LineState.OK, "n1 runs it"), Line(LineState.BLOCKED, "n2 does not"), Line(LineState.UNKNOWN, "latency", 0, "latency"))


def test_a_deployment_is_told_from_its_start_to_its_verdict_with_numbers(opened: Any) -> None:
    ear = Ear()
    rig = opened(ear)
    rig.move(ActionState.INTENDED)
    assert ear.heard == [], "what was not sent did not start"
    rig.move(ActionState.SENT)
    rig.move(ActionState.FOLLOWING)
    status = LatencyStatus(LatencyPoint(rig.clock(), 1.0, 2.0, 5.25, 9.0, 100.0, 0.0, 10), Band(1.0, 5.8, 10, "1.7.0"), False)
    rig.clock.advance(38)
    rig.store.merge("latency", {place("gw", "prod"): Fact(status, rig.clock(), "m", 30.0)})
    rig.move(ActionState.FAILED, ended_at_us=rig.clock(), message="the system says done, the nodes do not agree.", proof=PROOF)
    assert ear.words == [
        ("deployment_started", "Deployment of gw in prod to 1.8.0 started"),
        ("verdict", "Deployment of gw in prod to 1.8.0: failed"),
    ]
    [(begun, _), (ended, key)] = ear.heard
    assert begun.text == f"1.7.0 to 1.8.0, by {ADA}."
    numbers = "1 of 2 nodes prove it; after 38 s; p99 5.2 ms, band up to 5.8 ms."
    assert ended.text == f"the system says done, the nodes do not agree; {numbers}"
    assert (ended.service, ended.environment, ended.version, key) == ("gw", "prod", "1.8.0", "k1:ended")


def test_a_rollback_is_one_and_says_so(opened: Any) -> None:
    ear = Ear()
    rig = opened(ear)
    rig.move(ActionState.SENT, kind="rollback")
    rig.move(ActionState.DONE, ended_at_us=rig.clock(), message="all 4 nodes run 1.8.0")
    assert [kind for kind, _ in ear.words] == ["rollback", "rollback"]
    assert "p99 is not known" in ear.heard[1][0].text


def test_what_never_left_here_is_nobodys_news_unless_its_start_was(opened: Any) -> None:
    ear = Ear()
    rig = opened(ear)
    rig.move(ActionState.INTENDED)
    rig.move(ActionState.NOT_SENT, message="nothing was sent")
    assert ear.heard == []
    rig.store.apply(actions={})
    rig.move(ActionState.SENT)
    rig.move(ActionState.REFUSED, message="busy")
    assert [title for _, title in ear.words][1:] == ["Deployment of gw in prod to 1.8.0: refused"]


def test_an_outcome_that_stays_unknown_is_told_as_that(opened: Any) -> None:
    ear = Ear()
    rig = opened(ear)
    rig.move(ActionState.SENT)
    rig.move(ActionState.UNKNOWN, message="no answer came")
    rig.main.run_for(UNKNOWN_S + 1)
    rig.move(ActionState.FOLLOWING)
    rig.move(ActionState.DONE, ended_at_us=rig.clock(), message="all run it")
    assert [title.rpartition(": ")[2] for _, title in ear.words][1:] == ["outcome not known yet", "done"]


def test_a_restart_tells_nothing_twice(opened: Any) -> None:
    ear = Ear()
    rig = opened(ear)
    rig.move(ActionState.SENT)
    rig.telling.close()
    rig.telling = rig.another()
    rig.move(ActionState.FOLLOWING)
    rig.move(ActionState.DONE, message="done")
    rig.telling.heard(rig.store.state.actions["k1"])
    rig.main.settle()
    assert [kind for kind, _ in ear.words] == ["deployment_started", "verdict"]


def test_a_receiver_that_fails_is_one_notice_and_the_others_are_told(opened: Any) -> None:
    bad, good = Ear(), Ear()
    bad.error = Rejected("channel is archived", hint="Choose another channel.")
    rig = opened(bad, good)
    rig.move(ActionState.SENT)
    rig.move(ActionState.DONE, message="all run it")
    [notice] = [n for n in rig.notices.history if n.place == "sources"]
    assert (notice.title, notice.severity, notice.count) == ("Ear 0: nobody was told", Severity.WARNING, 2)
    assert "channel is archived" in notice.message
    assert notice.hint == "Choose another channel. It is not sent again: tell them yourself."
    assert len(good.heard) == 2
    bad.error = OutcomeUnknown("no answer")
    rig.store.apply(actions={"k2": replace(rig.store.state.actions["k1"], key="k2", state=ActionState.SENT)})
    rig.telling._moved(rig.store.state.actions["k2"])
    rig.main.settle()
    assert rig.notices.history[0].title == "Ear 0: whether people were told is not known"


def test_a_version_that_comes_to_lack_only_approvals_is_told_once(opened: Any) -> None:
    ear = Ear()
    rig = opened(ear)
    checks = rig.store.state.checks["gw"]
    running = tuple(
        replace(run, state=CheckState.RUNNING, suites=tuple(replace(s, state=CheckState.RUNNING) for s in run.suites))
        for run in checks.value
    )
    rig.store.merge("checks", {"gw": replace(checks, value=running)})
    rig.telling.begin()
    rig.main.run_for(LOOK_S + 1)
    assert ear.heard == []
    rig.store.merge("checks", {"gw": checks})
    rig.main.run_for(LOOK_S + 1)
    assert ear.words == [("approval_wanted", "Approval wanted: gw 1.8.0 for prod")]
    assert ear.heard[0][0].text.startswith("Its tests passed; ")
    rig.store.merge("checks", {"gw": replace(checks, value=running)})
    rig.store.merge("checks", {"gw": checks})
    rig.main.run_for(LOOK_S + 1)
    assert len(ear.heard) == 1


def test_a_rollout_of_several_steps_is_told_as_a_whole(opened: Any) -> None:
    ear = Ear()
    rig = opened(ear)
    step = Step("deploy", "gw", "prod", "1.8.0", D3)
    runs = (StepRun(step, action="k1"), StepRun(step))
    begun = Rollout("r1", "deploy", "gw, canary", runs, ADA, reason="CHG-7", started_at_us=rig.clock())
    rig.store.merge("rollouts", {"r1": begun, "r2": replace(begun, key="r2", rehearsal=True)})
    rig.move(ActionState.SENT)
    rig.move(ActionState.DONE, message="all run it")
    rig.clock.advance(90)
    rig.store.merge("rollouts", {"r1": replace(begun, state=RolloutState.BACK, ended_at_us=rig.clock(), message="p99 doubled")})
    rig.main.settle()
    assert ear.words == [
        ("deployment_started", "gw, canary in prod to 1.8.0: started"),
        ("verdict", "gw, canary in prod to 1.8.0: taken back"),
    ]
    assert [m.text for m, _ in ear.heard] == [f"2 steps, by {ADA}: CHG-7.", "p99 doubled; 0 of 2 steps are over; after 90 s."]


def test_after_a_restart_the_action_of_a_rollout_is_no_deployment_of_its_own(opened: Any) -> None:
    ear = Ear()
    rig = opened(ear)
    intended_us = rig.clock()
    rig.clock.advance(120)
    rig.move(ActionState.UNKNOWN, intended_at_us=intended_us)  # taken up before its rollout is read
    run = StepRun(Step("deploy", "gw", "prod", "1.8.0", D3), action="k1")
    rig.store.merge("rollouts", {"r1": Rollout("r1", "deploy", "gw, canary", (run, run), ADA, started_at_us=intended_us)})
    rig.main.run_for(UNKNOWN_S + LOOK_S + 1)
    assert [m.title for m, _ in ear.heard] == ["gw, canary in prod to 1.8.0: started"]


def test_an_action_that_was_taken_up_is_told_where_nobody_told_of_it(opened: Any) -> None:
    ear = Ear()
    rig = opened(ear)
    intended_us = rig.clock()
    rig.clock.advance(120)
    rig.move(ActionState.FOLLOWING, intended_at_us=intended_us)
    assert ear.heard == []
    rig.main.run_for(LOOK_S + 1)
    assert [kind for kind, _ in ear.words] == ["deployment_started"]


def test_what_waited_before_this_start_is_no_news(opened: Any) -> None:
    ear = Ear()
    rig = opened(ear)
    rig.telling.begin()
    rig.main.run_for(LOOK_S + 1)
    assert ear.heard == []


def test_a_request_of_mine_asks_for_its_approvals(opened: Any) -> None:
    ear = Ear()
    rig = opened(ear)
    version = rig.version()
    about = ("request", "gw", "prod", version.name, version.commit, version.digest)
    rig.telling.said(Statement(*about, "bob@example.org", "Bob", reason="please", at_us=1))
    rig.telling.said(Statement(*about, "ada@example.org", "Ada", reason="the fix of CHG-7", at_us=2))
    rig.telling.said(Statement(*about, "ada@example.org", "Ada", reason="again", at_us=3))
    rig.main.settle()
    assert ear.words == [("approval_wanted", "Approval wanted: gw 1.8.0 for prod")]
    assert ear.heard[0][0].text.startswith("Ada asks for it: the fix of CHG-7; ")


def test_real_receivers_hear_it(opened: Any, tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path / "certificate.pem")
    chat, post = RoughServer(), MailServer(certificate, False)
    chat.script = [chat.answer(200, b"ok", "text/plain")]
    thread = threading.Thread(target=post.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    slack, mail = SlackWebhook(f"{chat.url}/services", lambda: "T/B/x"), mail_to(post, certificate)
    try:
        rig = opened(slack, mail)
        rig.move(ActionState.SENT, kind="rollback")
        rig.move(ActionState.ABORTED, ended_at_us=rig.clock(), message="stopped after n1")
    finally:
        slack.close()
        for server in (post,):
            server.over.set()
            server.shutdown()
            server.server_close()
        thread.join()
        chat.close()
    said = [json.loads(request.body)["text"].split("\n")[0] for request in chat.requests]
    title = "Rollback of gw in prod to 1.8.0"
    assert said == [f"{title} started", f"{title}: aborted"]
    assert [request.headers["idempotency-key"] for request in chat.requests] == ["k1:started", "k1:ended"]
    mails = [email.message_from_bytes(body, policy=email.policy.default) for body in post.mails]
    assert [m["Subject"] for m in mails] == said
    assert mails[0]["To"] == f"{ANN}, {BEN}"
    assert "stopped after n1" in mails[1].get_content()
