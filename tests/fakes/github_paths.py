"""The paths of the GitHub in memory: (method, pattern below /repos/owner/name, what answers)."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from tests.fakes import github_shapes as shapes
from tests.fakes.github_repository import PEOPLE, Json, Repository

Query = dict[str, str]
Answer = tuple[int, Any, Any]  # status, body, how many there are in all (or the address of a redirect)


class Refused(Exception):
    """An answer that is none."""

    def __init__(self, status: int, words: str, body: Json | None = None) -> None:
        super().__init__(words)
        self.status, self.body = status, body


def paged(query: Query, items: list[Any]) -> list[Any]:
    size, page = min(100, int(query.get("per_page", 30))), int(query.get("page", 1))
    return items[(page - 1) * size : page * size]


def tags(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    items = sorted(repository.tags.items(), reverse=True)
    return 200, [shapes.tag(git.url, repository.name, name, sha) for name, sha in paged(query, items)], len(items)


def commits(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    head = repository.resolve(query.get("sha", "main"))
    if head is None:
        raise Refused(404, f"No commit found for SHA: {query.get('sha')}")
    reached = repository.ancestors(head)
    path = query.get("path", "")
    items = [c for sha, c in reversed(repository.commits.items()) if sha in reached and _touches(c, path)]
    return 200, [shapes.commit(git.url, repository.name, c) for c in paged(query, items)], len(items)


def _touches(known: Json, path: str) -> bool:
    return not path or any(file == path or file.startswith(path + "/") for file in known["files"])


def commit(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    sha = repository.resolve(found[0])
    if sha is None:
        raise Refused(422, f"No commit found for SHA: {found[0]}")
    return 200, shapes.commit(git.url, repository.name, repository.commits[sha]), 0


def compare(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    base, dots, head = found[0].partition("...")
    left, right = repository.resolve(base), repository.resolve(head)
    if not dots or left is None or right is None:
        raise Refused(404, "Not Found")
    one, other = repository.ancestors(left), repository.ancestors(right)
    items = [c for sha, c in repository.commits.items() if sha in other - one]
    shown = [shapes.commit(git.url, repository.name, c) for c in paged(query, items)]
    first = shapes.commit(git.url, repository.name, repository.commits[left])
    answer = shapes.comparison(git.url, repository.name, found[0], shown, len(one - other), len(items), first)
    if query.get("page", "1") == "1":
        files = sorted({file for c in items for file in c["files"]})
        answer["files"] = [shapes.file(git.url, repository.name, file) for file in files[:300]]
    return 200, answer, len(items)


def pulls(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    if found[0] not in repository.commits:
        raise Refused(422, f"No commit found for SHA: {found[0]}")
    items = [p for p in repository.pulls if found[0] in (p["merge_commit_sha"], p["head"], *repository.pull_commits[p["number"]])]
    return 200, [shapes.pull(git.url, repository.name, p) for p in paged(query, items)], len(items)


def reviews(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    number = int(found[0])
    items = repository.reviews[number]
    return 200, [shapes.review(git.url, repository.name, number, r) for r in paged(query, items)], len(items)


def pull_commits(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    items = repository.pull_commits[int(found[0])]
    return 200, [shapes.commit(git.url, repository.name, repository.commits[sha]) for sha in paged(query, items)], len(items)


def runs(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    items = sorted(repository.runs, key=lambda run: (run["created_s"], run["id"]), reverse=True)
    if found:
        items = [run for run in items if run["path"].endswith("/" + found[0])]
        if not items and f".github/workflows/{found[0]}" not in repository.files:
            raise Refused(404, "Not Found")
    for name in ("event", "status", "head_sha"):
        items = [run for run in items if query.get(name) in (None, run[name])]
    shown = [shapes.run(git.url, repository.name, run) for run in paged(query, items)]
    return 200, {"total_count": len(items), "workflow_runs": shown}, len(items)


def _run(repository: Repository, number: str) -> Json:
    found = next((run for run in repository.runs if str(run["id"]) == number), None)
    if found is None:
        raise Refused(404, "Not Found")
    return found


def run(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    known = _run(repository, found[0])
    if len(found) > 1:
        if not 0 < int(found[1]) <= known["run_attempt"]:
            raise Refused(404, "Not Found")
        if int(found[1]) < known["run_attempt"]:
            known = {**known, "run_attempt": int(found[1]), "status": "completed", "conclusion": known["conclusion"] or "failure"}
    return 200, shapes.run(git.url, repository.name, known), 0


def jobs(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    known = _run(repository, found[0])
    items = repository.jobs.get((known["id"], int(found[1])), [])
    shown = [shapes.job(git.url, repository.name, known, job) for job in paged(query, items)]
    return 200, {"total_count": len(items), "jobs": shown}, len(items)


def logs(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    return 302, None, f"{git.store_url}/logs/{found[0]}?sig=good&x=%2F"


def annotations(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    items = repository.annotations.get(int(found[0]), [])
    return 200, paged(query, items), len(items)


def rerun(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    known = _run(repository, found[0])
    if known["status"] != "completed":
        raise Refused(403, "This workflow is already running")
    before = repository.jobs.get((known["id"], known["run_attempt"]), [])
    now = git.clock()
    known |= {"run_attempt": known["run_attempt"] + 1, "status": "queued", "conclusion": None, "run_started_s": now, "updated_s": now}
    for job in before:
        repository.job(known, job["name"], None)
    return 201, {}, 0


def cancel(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    known = _run(repository, found[0])
    if known["status"] == "completed":
        raise Refused(409, "Cannot cancel a workflow run that is completed.")
    known |= {"status": "completed", "conclusion": "cancelled", "updated_s": git.clock()}
    return 202, {}, 0


def deployments(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    items = [d for d in reversed(repository.deployments) if query.get("environment") in (None, d["environment"])]
    return 200, [shapes.deployment(git.url, repository.name, d) for d in paged(query, items)], len(items)


def deploy(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    if repository.resolve(str(body.get("ref"))) is None:
        raise Refused(422, f"No ref found for: {body.get('ref')}")
    known = repository.deployment(body["ref"], body.get("environment", "production"), body.get("payload", {}))
    known["description"] = body.get("description", "")
    return 201, shapes.deployment(git.url, repository.name, known), 0


def _deployment(repository: Repository, number: str) -> Json:
    found = next((d for d in repository.deployments if str(d["id"]) == number), None)
    if found is None:
        raise Refused(404, "Not Found")
    return found


def deployment(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    return 200, shapes.deployment(git.url, repository.name, _deployment(repository, found[0])), 0


def statuses(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    known = _deployment(repository, found[0])
    items = repository.statuses[known["id"]][::-1]
    return 200, [shapes.status(git.url, repository.name, known["id"], s) for s in paged(query, items)], len(items)


def status(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    known = _deployment(repository, found[0])
    made = repository.status(known, body["state"], description=body.get("description", ""))
    return 201, shapes.status(git.url, repository.name, known["id"], made), 0


def environment(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    if found[0] not in repository.environments:
        raise Refused(404, "Not Found")
    return 200, shapes.environment(git.url, repository.name, found[0], repository.environments[found[0]]), 0


def pending(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    known = _run(repository, found[0])
    names = {number: name for name, number in repository.environments.items()}
    people = [shapes.user(git.url, login, PEOPLE[login]) for login in ("ada", "bob")]
    waiting = [number for number, answered in repository.pending.get(known["id"], {}).items() if not answered]
    return 200, [shapes.pending(git.url, repository.name, names[n], n, people, True) for n in waiting], 0


def answer(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    known = _run(repository, found[0])
    asked = repository.pending.get(known["id"], {})
    if any(asked.get(number) != "" for number in body["environment_ids"]):
        raise Refused(422, "There are no pending deployments for these environments")
    for number in body["environment_ids"]:
        asked[number] = body["state"]
    known |= {"status": "in_progress"} if body["state"] == "approved" else {"status": "completed", "conclusion": "failure"}
    names = {number: name for name, number in repository.environments.items()}
    made = repository.deployment(known["head_sha"], names[body["environment_ids"][0]])
    return 200, [shapes.deployment(git.url, repository.name, made)], 0


def content(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    if found[0] not in repository.files or repository.resolve(query.get("ref", "main")) is None:
        raise Refused(404, "Not Found")
    text = b64encode(repository.files[found[0]].encode()).decode()
    return 200, shapes.content(git.url, repository.name, found[0], text), 0


def dispatch(git: Any, repository: Repository, found: list[str], query: Query, body: Json) -> Answer:
    path = f".github/workflows/{found[0]}"
    text, sha = repository.files.get(path), repository.resolve(str(body.get("ref")))
    if text is None:
        raise Refused(404, "Not Found")
    if sha is None:
        raise Refused(422, f"No ref found for: {body.get('ref')}")
    inputs = body.get("inputs", {})
    title = re.search(r"^run-name: (.*)$", text, re.MULTILINE)
    words = re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda m: str(inputs.get(m[1], "")), title.group(1)) if title else found[0]
    made = repository.run(sha, "queued", None, event="workflow_dispatch", path=path, display_title=words, name="Deploy", workflow_id=8)
    known = repository.deployment(body["ref"], inputs["environment"])
    link = f"https://github.invalid/{repository.name}/actions/runs/{made['id']}/job/1"
    repository.status(known, "in_progress", log_url=link)
    if not body.get("return_run_details"):
        return 204, None, 0
    place = f"{git.url}/repos/{repository.name}/actions/runs/{made['id']}"
    return 200, {"workflow_run_id": made["id"], "run_url": place, "html_url": place}, 0


ROUTES: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
    ("GET", "tags", tags),
    ("GET", "commits", commits),
    ("GET", "commits/*/pulls", pulls),
    ("GET", "commits/*", commit),
    ("GET", "compare/*", compare),
    ("GET", "pulls/*/reviews", reviews),
    ("GET", "pulls/*/commits", pull_commits),
    ("GET", "actions/runs", runs),
    ("GET", "actions/workflows/*/runs", runs),
    ("POST", "actions/workflows/*/dispatches", dispatch),
    ("GET", "actions/runs/*/attempts/*/jobs", jobs),
    ("GET", "actions/runs/*/attempts/*", run),
    ("GET", "actions/runs/*", run),
    ("GET", "actions/runs/*/pending_deployments", pending),
    ("POST", "actions/runs/*/pending_deployments", answer),
    ("POST", "actions/runs/*/rerun", rerun),
    ("POST", "actions/runs/*/cancel", cancel),
    ("GET", "actions/jobs/*/logs", logs),
    ("GET", "check-runs/*/annotations", annotations),
    ("GET", "deployments", deployments),
    ("POST", "deployments", deploy),
    ("GET", "deployments/*", deployment),
    ("GET", "deployments/*/statuses", statuses),
    ("POST", "deployments/*/statuses", status),
    ("GET", "environments/*", environment),
    ("GET", "contents/*", content),
)
