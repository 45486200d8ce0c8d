"""A small Argo CD over HTTP: applications, operations that a test lets go on, history, and a resource tree."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.fakes.kube_api import _merged as merged
from tests.fakes.stub_http import Asked, Refused, Stub, sha

COMMITS = {version: sha(version) for version in ("1.4.0", "1.5.0", "1.6.0")}
_BASE = datetime.now(UTC) - timedelta(hours=2)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def failed(message: str, status: int = 400, code: int = 9) -> Refused:
    return Refused(status, {"error": message, "code": code, "message": message})


class ArgoCdStub(Stub):
    """One application; `head`: the repository's newest version."""

    def __init__(self, token: str, name: str, automated: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.token = token
        self.head = "1.6.0"
        self.broken: set[str] = set()
        self.tags = {commit: [f"gateway/v{version}", "nightly"] for version, commit in COMMITS.items()}
        past = [("1.4.0", 0), ("1.5.0", 30)]
        history = [
            {
                "id": number,
                "revision": COMMITS[version],
                "deployedAt": (_BASE + timedelta(minutes=minutes, seconds=20)).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "deployStartedAt": (_BASE + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "source": {"repoURL": "https://git.invalid/gateway"},
                "initiatedBy": {"automated": True},
            }
            for number, (version, minutes) in enumerate(past)
        ]
        last = {"phase": "Succeeded", "startedAt": history[-1]["deployStartedAt"], "finishedAt": history[-1]["deployedAt"]}
        last |= {"operation": {"sync": {"revision": COMMITS["1.5.0"]}}, "syncResult": {"revision": COMMITS["1.5.0"]}}
        self.app: dict[str, Any] = {
            "metadata": {"name": name, "namespace": "argocd"},
            "spec": {"source": {"repoURL": "https://git.invalid/gateway", "targetRevision": "main"}},
            "status": {"history": history, "operationState": last, "health": {"status": "Healthy"}, "reconciledAt": now()},
        }
        self.app["status"]["sync"] = {"status": "OutOfSync", "revision": COMMITS[self.head]}
        if automated is not None:
            self.app["spec"]["syncPolicy"] = {"automated": automated}
        self.fresh = 2  # pods of the newest ReplicaSet, of two
        base = "/api/v1/applications"
        self.route("GET", base, lambda asked: {"items": [self.app]})
        for method, tail, answer in (
            ("GET", "", lambda asked: self.app),
            ("PATCH", "", self._patch),
            ("GET", "/resource-tree", self._tree),
            ("GET", "/revisions/{revision}/metadata", self._metadata),
            ("POST", "/sync", self._sync),
            ("POST", "/rollback", self._rollback),
            ("DELETE", "/operation", self._terminate),
        ):
            self.route(method, f"{base}/{{name}}{tail}", self._named(answer))
        self.route("GET", "/api/version", lambda asked: {"Version": "v2.11.3+3f344d5"})
        self.route("GET", "/api/v1/session/userinfo", lambda asked: {"loggedIn": True, "username": "rae"})

    def check(self, asked: Asked) -> None:
        if asked.headers.get("authorization") != f"Bearer {self.token}":
            raise failed("no session information", 401, 16)

    def _named(self, answer: Any) -> Any:
        def checked(asked: Asked) -> Any:
            if asked.named["name"] != self.app["metadata"]["name"]:
                raise failed("applications.argoproj.io not found", 404, 5)
            return answer(asked)

        return checked

    def _patch(self, asked: Asked) -> Any:
        body = asked.json
        assert body["patchType"] == "merge"
        new = merged(self.app, json.loads(body["patch"]))
        # only these parts are taken over
        self.app = self.app | {"spec": new["spec"], "metadata": self.app["metadata"] | {"annotations": new["metadata"].get("annotations")}}
        return self.app

    def _metadata(self, asked: Asked) -> Any:
        return {"author": "Ada", "date": "2026-11-01T10:00:00Z", "tags": self.tags.get(asked.named["revision"]), "message": "x"}

    def _policy(self) -> Any:
        return self.app["spec"].get("syncPolicy", {}).get("automated")

    def _begin(self, operation: dict[str, Any]) -> Any:
        if self.app.get("operation") or self.app["status"]["operationState"]["phase"] in ("Running", "Terminating"):
            raise failed("another operation is already in progress")
        self.app = copy.deepcopy(self.app) | {"operation": operation}
        self.app["status"]["operationState"] = None
        return self.app

    def _sync(self, asked: Asked) -> Any:
        revision = asked.json.get("revision", "")
        if revision and self._policy() is not None:
            raise failed(f"Cannot sync to {revision}: auto-sync currently set to main")
        return self._begin(
            {"sync": {"revision": revision or COMMITS[self.head]}, "info": asked.json.get("infos"), "initiatedBy": {"username": "rae"}}
        )

    def _rollback(self, asked: Asked) -> Any:
        if not isinstance(asked.json["id"], int):
            raise failed("json: cannot unmarshal string into Go value of type int64", 400, 3)
        if self._policy() is not None:
            raise failed("rollback cannot be initiated when auto-sync is enabled")
        entry = next((h for h in self.app["status"]["history"] if h["id"] == asked.json["id"]), None)
        if entry is None:
            raise failed("unable to find history entry", 404, 5)
        return self._begin({"sync": {"revision": entry["revision"], "source": entry["source"]}, "initiatedBy": {"username": "rae"}})

    def _terminate(self, asked: Asked) -> Any:
        state = self.app["status"]["operationState"]
        if state is None or state["phase"] != "Running":
            raise failed("Unable to terminate operation. No operation is in progress", 400, 3)
        state["phase"] = "Terminating"
        return {}

    def _tree(self, asked: Asked) -> Any:
        deployment = {"kind": "Deployment", "name": "gateway", "uid": "d", "namespace": "prod"}
        sets = [
            {"kind": "ReplicaSet", "name": f"gateway-{n}", "uid": f"rs{n}", "parentRefs": [{"kind": "Deployment", "uid": "d"}]}
            | {"info": [{"name": "Revision", "value": f"Rev:{n}"}]}
            for n in (1, 2)
        ]
        pods = [
            {"kind": "Pod", "name": f"gateway-{n}", "uid": f"p{n}", "images": ["team/gateway:v0"], "health": {"status": "Healthy"}}
            | {"parentRefs": [{"kind": "ReplicaSet", "uid": "rs2" if n < self.fresh else "rs1"}]}
            for n in range(2)
        ]
        return {"nodes": [deployment, *sets, *pods]}

    # -- the world -----------------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """One step of the controller."""
        with self.lock:
            self.app = copy.deepcopy(self.app)
            status, operation = self.app["status"], self.app.get("operation")
            state = status["operationState"]
            if state is None and operation is not None:
                status["operationState"] = {"phase": "Running", "operation": operation, "startedAt": self._moment(), "message": "waiting"}
            elif state is not None and state["phase"] == "Terminating":
                self._end(state, "Failed", "Operation terminated")
            elif state is not None and state["phase"] == "Running":
                revision = state["operation"]["sync"]["revision"]
                state["syncResult"] = {"revision": revision}
                if revision in self.broken:
                    self._end(state, "Failed", "one or more objects failed to apply")
                    return
                self._end(state, "Succeeded", "successfully synced (all tasks run)")
                entry = {"id": status["history"][-1]["id"] + 1, "revision": revision, "deployedAt": state["finishedAt"]}
                entry |= {"deployStartedAt": state["startedAt"], "source": {"repoURL": "x"}, "initiatedBy": {"username": "rae"}}
                status["history"] = [*status["history"], entry][-10:]
                status["health"], self.fresh = {"status": "Progressing"}, 1
            elif self.fresh < 2:
                status["health"], self.fresh, status["reconciledAt"] = {"status": "Healthy"}, 2, self._moment()

    def _end(self, state: dict[str, Any], phase: str, message: str) -> None:
        state |= {"phase": phase, "message": message, "finishedAt": self._moment()}
        self.app.pop("operation", None)
        self.app["status"]["reconciledAt"] = self._moment()

    def _moment(self) -> str:
        """Each later than the one before: whole seconds would make two operations one."""
        self._ticks = getattr(self, "_ticks", 0) + 1
        return (datetime.now(UTC) + timedelta(microseconds=self._ticks)).isoformat()

    def settle(self) -> None:
        for _ in range(6):
            self.advance()
