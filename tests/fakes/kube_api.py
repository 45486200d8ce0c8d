"""A small API server of Kubernetes with its Deployment controller, which works a step each time a test says so; Rollouts of Argo too.

Kept to the letter: resourceVersion, generation and observedGeneration, 409 on a stale write, 422 on a JSON patch that does not apply,
paged lists with an expiring `continue`, Status bodies, revisions by ReplicaSet with their history, ReplicaSets used again.
"""

from __future__ import annotations

import copy
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from tests.fakes.stub_http import Asked, Refused, Stub

REVISION = {"deployments": "deployment.kubernetes.io/revision", "rollouts": "rollout.argoproj.io/revision"}
HISTORY = "deployment.kubernetes.io/revision-history"
HASH = {"deployments": "pod-template-hash", "rollouts": "rollouts-pod-template-hash"}
NOT_COPIED = (*REVISION.values(), HISTORY, "kubectl.kubernetes.io/last-applied-configuration")
Object = dict[str, Any]


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def digest_of(image: str) -> str:
    """What a registry would say of a tag."""
    return "sha256:" + hashlib.sha256(image.encode()).hexdigest()


def refusal(status: int, reason: str, message: str) -> Refused:
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": status}
    return Refused(status, body)


class KubeApi(Stub):
    """`objects` by (plural, namespace, name). `token`: the only one let in; `allowed`: plurals that may be listed (None: all)."""

    def __init__(self, token: str = "") -> None:
        super().__init__()
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.token = token
        self.allowed: set[str] | None = None
        self.version = 100
        self.bad_images: set[str] = set()
        self.watched = 0
        self.too_old = self.refuse_watch = False
        self.expired_pages = 0  # so many continued lists are answered with 410
        self.before_patch: Any = None  # called once, right before the next patch is looked at
        for group in ("/apis/apps/v1", "/apis/argoproj.io/v1alpha1", "/api/v1"):
            self.route("GET", group + "/namespaces/{ns}/{plural}", self._list)
            self.route("GET", group + "/{plural}", self._list)
            self.route("GET", group + "/namespaces/{ns}/{plural}/{name}", self._get)
            self.route("PATCH", group + "/namespaces/{ns}/{plural}/{name}", self._patch)
            self.route("PATCH", group + "/namespaces/{ns}/{plural}/{name}/status", self._patch)
        self.route("GET", "/version", lambda asked: {"major": "1", "minor": "20", "gitVersion": "v1.20.2"})

    # -- the API -------------------------------------------------------------------------------------------------------------

    def check(self, asked: Asked) -> None:
        if self.token and asked.headers.get("authorization") != f"Bearer {self.token}":
            raise refusal(401, "Unauthorized", "Unauthorized")

    def missing(self, asked: Asked) -> Refused:
        return refusal(404, "NotFound", "the server could not find the requested resource")

    def _may(self, asked: Asked) -> None:
        plural = asked.named["plural"]
        if self.allowed is not None and plural not in self.allowed:
            raise refusal(403, "Forbidden", f'{plural} is forbidden: User "jane" cannot list resource "{plural}" in API group "apps"')

    def _list(self, asked: Asked) -> Any:
        self._may(asked)
        plural, namespace = asked.named["plural"], asked.named.get("ns", "")
        found = [o for (p, ns, _), o in sorted(self.objects.items()) if p == plural and namespace in ("", ns)]
        found = [o for o in found if _selected(o["metadata"].get("labels") or {}, asked.query.get("labelSelector", ""))]
        if asked.query.get("watch"):
            self.watched += 1
            since = int(asked.query.get("resourceVersion", "0") or 0)
            if self.refuse_watch:
                raise refusal(403, "Forbidden", f'User "jane" cannot watch resource "{plural}"')
            if self.too_old:
                return 200, _event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"}), {}
            changed = [o for o in found if int(o["metadata"]["resourceVersion"]) > since]
            return 200, b"".join(_event("MODIFIED", o) for o in changed), {"Content-Type": "application/json"}
        begin = int(asked.query.get("continue", "0"))
        if begin and self.expired_pages:
            self.expired_pages -= 1
            raise refusal(410, "Expired", "The provided continue parameter is too old")
        end = begin + min(int(asked.query.get("limit", "500")), 2 if plural == "pods" else 500)
        more = {"continue": str(end)} if end < len(found) else {}
        return {"kind": "List", "metadata": {"resourceVersion": str(self.version)} | more, "items": found[begin:end]}

    def _get(self, asked: Asked) -> Any:
        return self._object(asked)

    def _object(self, asked: Asked) -> Object:
        key = (asked.named["plural"], asked.named["ns"], asked.named["name"])
        if key not in self.objects:
            raise refusal(404, "NotFound", f'{key[0]}.apps "{key[2]}" not found')
        return self.objects[key]

    def _patch(self, asked: Asked) -> Any:
        hook, self.before_patch = self.before_patch, None
        if hook is not None:
            hook()
        old = self._object(asked)
        new = copy.deepcopy(old)
        kind = asked.headers.get("content-type", "")
        if kind == "application/json-patch+json":
            for step in asked.json:
                _apply(new, step)
        elif kind == "application/merge-patch+json":
            new = _merged(new, asked.json)
        else:
            raise refusal(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
        if new["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]:
            name = old["metadata"]["name"]
            raise refusal(409, "Conflict", f'Operation cannot be fulfilled on deployments.apps "{name}": the object has been modified')
        if asked.path.endswith("/status"):
            new = copy.deepcopy(old) | {"status": new["status"]}
        else:
            new["status"] = old["status"]
        self.write(asked.named["plural"], new)
        return new

    def write(self, plural: str, new: Object) -> Object:
        """Store it as a new version of the object."""
        meta = new["metadata"]
        key = (plural, meta["namespace"], meta["name"])
        old = self.objects.get(key)
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        if old is None:
            meta |= {"uid": f"uid-{plural}-{self.version}", "generation": 1, "creationTimestamp": now()}
        elif old["spec"] != new["spec"]:
            meta["generation"] = old["metadata"]["generation"] + 1
        self.objects[key] = new
        return new

    # -- the world -----------------------------------------------------------------------------------------------------------

    def add(self, service: str, namespace: str, image: str, replicas: int = 2, plural: str = "deployments", **spec: Any) -> Object:
        """A workload; the controller has not seen it yet."""
        labels = {"app": service}
        template = {
            "metadata": {"labels": dict(labels)},
            "spec": {"containers": [{"name": "side", "image": "proxy:1"}, {"name": service, "image": image, "env": []}]},
        }
        whole = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, "progressDeadlineSeconds": 600} | spec
        meta = {"name": service, "namespace": namespace}
        return self.write(plural, {"metadata": meta, "spec": whole, "status": {}})

    def set_image(self, service: str, namespace: str, image: str, plural: str = "deployments") -> None:
        """As `kubectl set image` does."""
        new = copy.deepcopy(self.objects[plural, namespace, service])
        new["spec"]["template"]["spec"]["containers"][1]["image"] = image
        self.write(plural, new)

    def change(self, service: str, namespace: str, plural: str = "deployments", **spec: Any) -> None:
        """Another field of the specification."""
        new = copy.deepcopy(self.objects[plural, namespace, service])
        new["spec"] |= spec
        self.write(plural, new)

    def touch(self, service: str, namespace: str, plural: str = "deployments") -> None:
        """A new version of the object that changes nothing, as a controller's status writes are."""
        self.write(plural, copy.deepcopy(self.objects[plural, namespace, service]))

    def settle(self) -> None:
        """Let the controllers work until nothing changes."""
        for _ in range(60):
            before = self.version
            self.advance()
            if self.version == before:
                return

    def advance(self) -> None:
        """One step of the controllers for every workload."""
        with self.lock:
            for (plural, _, _), workload in list(self.objects.items()):
                if plural in REVISION:
                    _Controller(self, plural, workload).step()

    def pods(self, uid: str) -> list[Object]:
        return [o for (p, _, _), o in self.objects.items() if p == "pods" and o["metadata"]["ownerReferences"][0]["uid"] == uid]

    def sets(self, uid: str) -> list[Object]:
        return [o for (p, _, _), o in self.objects.items() if p == "replicasets" and o["metadata"]["ownerReferences"][0]["uid"] == uid]

    def fail(self, service: str, namespace: str) -> None:
        """The progress deadline passes."""
        new = copy.deepcopy(self.objects["deployments", namespace, service])
        words = f'ReplicaSet "{service}" has timed out progressing.'
        new["status"]["conditions"] = [_condition("Progressing", "False", "ProgressDeadlineExceeded", words)]
        self.write("deployments", new)


class _Controller:
    """One step for one workload."""

    def __init__(self, api: KubeApi, plural: str, workload: Object) -> None:
        self.api, self.plural, self.workload = api, plural, copy.deepcopy(workload)
        self.meta, self.spec, self.status = self.workload["metadata"], self.workload["spec"], self.workload["status"]
        self.sets = api.sets(self.meta["uid"])

    def step(self) -> None:
        fresh = self._new_set(make=not self.spec.get("paused"))
        if fresh is not None and not self.spec.get("paused"):
            self._move(fresh)
        before = self.api.objects[self.plural, self.meta["namespace"], self.meta["name"]]
        self._report(fresh)
        if (self.meta, self.status) != (before["metadata"], before["status"]):
            self.api.write(self.plural, self.workload)

    def _new_set(self, make: bool) -> Object | None:
        wanted = json.dumps(self.spec["template"], sort_keys=True)
        label = HASH[self.plural]
        for made in self.sets:
            template = copy.deepcopy(made["spec"]["template"])
            template["metadata"]["labels"].pop(label, None)
            if json.dumps(template, sort_keys=True) == wanted:
                return self._numbered(made) if make else made
        if not make:
            return None
        mark = hashlib.sha256(wanted.encode()).hexdigest()[:10]
        template = copy.deepcopy(self.spec["template"])
        template["metadata"]["labels"][label] = mark
        owner = {"uid": self.meta["uid"], "controller": True, "kind": "Deployment", "name": self.meta["name"]}
        meta = {"name": f"{self.meta['name']}-{mark}", "namespace": self.meta["namespace"], "ownerReferences": [owner]}
        meta |= {"labels": dict(template["metadata"]["labels"]), "annotations": {}}
        made = self.api.write("replicasets", {"metadata": meta, "spec": {"template": template}, "status": {}})
        self.sets.append(made)
        return self._numbered(made)

    def _numbered(self, made: Object) -> Object:
        """The newest revision's number and the workload's annotations, as the real controller copies them."""
        name = REVISION[self.plural]
        numbers = [int(s["metadata"]["annotations"].get(name, 0)) for s in self.sets if s is not made]
        new = copy.deepcopy(made)
        notes = new["metadata"]["annotations"]
        notes |= {k: v for k, v in (self.meta.get("annotations") or {}).items() if k not in NOT_COPIED}
        old, number = int(notes.get(name, 0)), max(numbers, default=0) + 1
        if old < number:
            if old:
                notes[HISTORY] = ",".join(part for part in (notes.get(HISTORY, ""), str(old)) if part)
            notes[name] = str(number)
        self.meta["annotations"] = (self.meta.get("annotations") or {}) | {name: notes[name]}
        if new != made:
            made.update(self.api.write("replicasets", new))
        return made

    def _move(self, fresh: Object) -> None:
        mine, old = self.api.pods(fresh["metadata"]["uid"]), [p for s in self.sets if s is not fresh for p in self.api.pods(_uid(s))]
        waiting = [p for p in mine if not _ready(p)]
        limit = self._limit(fresh, bool(old))
        image = self.spec["template"]["spec"]["containers"][1]["image"]
        if waiting:
            if image not in self.api.bad_images:
                self._make_ready(waiting[0])
        elif len(mine) > limit:
            self._end(mine[-1])
        elif len(mine) < limit:
            self._start(fresh, len(mine))
        elif len(mine) + len(old) > self.spec["replicas"] and old:
            self._end(old[-1])
        elif self.status.get("abort"):
            self._bring_back(old)

    def _bring_back(self, old: list[Object]) -> None:
        """An aborted Rollout gives its stable ReplicaSet all its pods again."""
        stable = next(s for s in self.sets if s["metadata"]["labels"][HASH["rollouts"]] == self.status["stableRS"])
        late = [p for p in old if not _ready(p)]
        if late:
            self._make_ready(late[0])
        elif len(old) < self.spec["replicas"]:
            self._start(stable, len(old))

    def _limit(self, fresh: Object, others: bool) -> int:
        """How many pods of the new ReplicaSet there may be now."""
        replicas = int(self.spec["replicas"])
        if self.plural == "deployments":
            return replicas
        mark = fresh["metadata"]["labels"][HASH["rollouts"]]
        if self.status.get("currentPodHash") != mark:
            self.status.update({"currentPodHash": mark, "currentStepIndex": 0, "abort": None, "promoteFull": None, "pauseConditions": None})
            self.status["controllerPause"] = None
        if self.status.get("abort"):
            return 0
        steps = self.spec.get("strategy", {}).get("canary", {}).get("steps", [])
        done = self.status.get("currentStepIndex", 0) >= len(steps)
        return replicas if not others or done or self.status.get("promoteFull") or self.status.get("stableRS") in (None, mark) else 1

    def _start(self, fresh: Object, number: int) -> None:
        name = f"{fresh['metadata']['name']}-{self.api.version}{number}"
        owner = {"uid": _uid(fresh), "controller": True, "kind": "ReplicaSet", "name": fresh["metadata"]["name"]}
        meta = {"name": name, "namespace": self.meta["namespace"], "ownerReferences": [owner]}
        meta["labels"] = dict(fresh["spec"]["template"]["metadata"]["labels"])
        spec = copy.deepcopy(fresh["spec"]["template"]["spec"]) | {"nodeName": "node-a"}
        self.api.write("pods", {"metadata": meta, "spec": spec, "status": {"phase": "Pending", "conditions": []}})

    def _make_ready(self, pod: Object) -> None:
        new = copy.deepcopy(pod)
        statuses = []
        for container in new["spec"]["containers"]:
            image = container["image"]
            digest = image.partition("@")[2] or digest_of(image)
            repository = image.partition("@")[0].rpartition(":")[0]
            statuses.append({"name": container["name"], "image": image, "imageID": f"docker.io/{repository}@{digest}", "ready": True})
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now()}
        new["status"] = {"phase": "Running", "podIP": "127.0.0.1", "conditions": [ready], "containerStatuses": statuses}
        self.api.write("pods", new)

    def _end(self, pod: Object) -> None:
        self.api.version += 1
        del self.api.objects["pods", self.meta["namespace"], pod["metadata"]["name"]]

    def _report(self, fresh: Object | None) -> None:
        mine = self.api.pods(_uid(fresh)) if fresh is not None else []
        every = [p for s in self.sets for p in self.api.pods(_uid(s))]
        paused = bool(self.spec.get("paused"))
        replicas = int(self.spec["replicas"])
        counts = {"replicas": len(every), "updatedReplicas": len(mine), "readyReplicas": sum(map(_ready, every))}
        whole = fresh is not None and len(mine) == len(every) == replicas and all(map(_ready, mine))
        seen = self.meta["generation"]
        self.status |= counts | {"availableReplicas": counts["readyReplicas"]}
        if self.plural == "rollouts":
            self._report_rollout(fresh, mine, every, whole, seen)
            return
        changed = self.status.get("observedGeneration") != seen
        self.status["observedGeneration"] = seen
        if whole:
            word = ("True", "NewReplicaSetAvailable", f'ReplicaSet "{fresh["metadata"]["name"]}" has successfully progressed.')
        elif paused:
            word = ("Unknown", "DeploymentPaused", "Deployment is paused")
        else:
            word = ("True", "ReplicaSetUpdated", "ReplicaSet is progressing.")
        conditions = self.status.get("conditions") or []
        failed = any(c["reason"] == "ProgressDeadlineExceeded" for c in conditions) and not changed and not whole
        if (not failed and [c["reason"] for c in conditions] != [word[1]]) or (changed and not failed):
            self.status["conditions"] = [_condition("Progressing", *word)]

    def _report_rollout(self, fresh: Object | None, mine: list[Object], every: list[Object], whole: bool, seen: int) -> None:
        status = self.status
        status["observedGeneration"] = str(seen)
        if fresh is None:
            return
        mark = fresh["metadata"]["labels"][HASH["rollouts"]]
        steps = self.spec.get("strategy", {}).get("canary", {}).get("steps", [])
        if whole:
            status |= {"stableRS": mark, "phase": "Healthy", "message": "", "pauseConditions": None, "controllerPause": None}
        elif status.get("abort"):
            status |= {"pauseConditions": None, "controllerPause": None}
            if not mine and len(every) == self.spec["replicas"] and all(map(_ready, every)):
                status |= {"phase": "Degraded", "message": "RolloutAborted: Rollout aborted update to revision"}
        elif status.get("promoteFull") or status.get("currentStepIndex", 0) >= len(steps) or not mine or not all(map(_ready, mine)):
            status |= {
                "phase": "Progressing",
                "message": "more replicas need to be updated",
                "pauseConditions": None,
                "controllerPause": None,
            }
        elif status.get("controllerPause") and not status.get("pauseConditions"):
            status |= {"currentStepIndex": status["currentStepIndex"] + 1, "controllerPause": None, "phase": "Progressing"}
        elif not status.get("pauseConditions"):
            status |= {"pauseConditions": [{"reason": "CanaryPauseStep", "startTime": now()}], "controllerPause": True}
            status |= {"phase": "Paused", "message": "CanaryPauseStep"}
        status["conditions"] = status.get("conditions") or [_condition("Progressing", "True", "Rollout", "")]


def _uid(made: Object) -> str:
    return str(made["metadata"]["uid"])


def _ready(pod: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])


def _condition(kind: str, status: str, reason: str, message: str) -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastUpdateTime": now(), "lastTransitionTime": now()}


def _event(kind: str, thing: Object) -> bytes:
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


def _selected(labels: dict[str, str], selector: str) -> bool:
    for part in filter(None, selector.split(",")):
        name, equals, value = part.partition("=")
        if name not in labels or (equals and labels[name] != value):
            return False
    return True


def _apply(target: Object, step: Object) -> None:
    """One step of a JSON patch; 422 where it does not fit."""
    keys = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
    place: Any = target
    try:
        for key in keys[:-1]:
            place = place[int(key)] if isinstance(place, list) else place[key]
        last: Any = int(keys[-1]) if isinstance(place, list) else keys[-1]
        if step["op"] == "replace" and isinstance(place, dict) and last not in place:
            raise KeyError(last)
        if step["op"] == "test" and place[last] != step["value"]:
            raise ValueError("testing value failed")
        if step["op"] in ("add", "replace"):
            place[last] = step["value"]
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise refusal(422, "Invalid", f"the server rejected our request due to an error in our request: {error}") from None


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    new = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = _merged(new.get(key), value)
    return new
