"""One repository of the GitHub in memory, and the hands that bring it into a state."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from typing import Any

Json = dict[str, Any]
PEOPLE = {"ada": 11, "bob": 12, "eve": 13, "robot": 14}


class Repository:
    """Commits by id, tags, pull requests, runs, deployments. Its methods make things; paths of the interface read them."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name, self.clock = name, clock
        self.commits: dict[str, Json] = {}
        self.main: list[str] = []
        self.tags: dict[str, str] = {}
        self.runs: list[Json] = []
        self.jobs: dict[tuple[int, int], list[Json]] = {}
        self.annotations: dict[int, list[Json]] = {}
        self.deployments: list[Json] = []
        self.statuses: dict[int, list[Json]] = {}
        self.environments: dict[str, int] = {}
        self.pulls: list[Json] = []
        self.reviews: dict[int, list[Json]] = {}
        self.pull_commits: dict[int, list[str]] = {}
        self.pending: dict[int, dict[int, str]] = {}  # by run: environment id and what was answered
        self.files: dict[str, str] = {}
        self.push = True
        self._number = 100

    def number(self) -> int:
        self._number += 1
        return self._number

    def commit(
        self, message: str = "A change", login: str = "ada", at_s: float = 0.0, files: tuple[str, ...] = ("a.py",), **more: Any
    ) -> str:
        """One more commit on main (or with `parents` elsewhere); answers its id."""
        at_s = at_s or self.clock() - 5000 + len(self.commits)
        sha = sha1(f"{self.name}{len(self.commits)}{message}".encode()).hexdigest()
        parents = more.get("parents", self.main[-1:])
        who = {"author": login.title(), "email": more.get("email", f"{login}@playground.invalid"), "login": login}
        known = {"sha": sha, "message": message, "at_s": int(at_s), "files": files, "parents": parents, "login_id": PEOPLE.get(login, 99)}
        self.commits[sha] = {**known, **who}
        if parents == self.main[-1:]:
            self.main.append(sha)
        return sha

    def ancestors(self, sha: str) -> set[str]:
        found, todo = set[str](), [sha]
        while todo:
            one = todo.pop()
            if one not in found:
                found.add(one)
                todo += self.commits[one]["parents"]
        return found

    def resolve(self, ref: str) -> str | None:
        """The commit of a tag, a branch or an id."""
        return self.tags.get(ref) or (self.main[-1] if ref == "main" and self.main else None) or (ref if ref in self.commits else None)

    def run(self, sha: str, status: str = "completed", conclusion: str | None = "success", **more: Any) -> Json:
        """One more run of that commit."""
        now = self.clock()
        number = self.number()
        words = {
            "head_branch": "main",
            "workflow_id": 7,
            "name": "CI",
            "display_title": "CI",
            "event": "push",
            "path": ".github/workflows/ci.yml",
        }
        times = {"created_s": now - 60, "updated_s": now - 10, "run_started_s": now - 60}
        known = {"id": number, "head_sha": sha, "status": status, "conclusion": conclusion, "run_attempt": 1, **words, **times}
        known |= {"commit_s": self.commits[sha]["at_s"], **more}
        self.runs.append(known)
        return known

    def job(self, run: Json, name: str, conclusion: str | None = "success", steps: tuple[tuple[str, str, str | None], ...] = ()) -> Json:
        """One more job of a run's attempt; conclusion None: it goes on."""
        now = self.clock()
        status = "completed" if conclusion else "in_progress"
        known = {"id": self.number(), "name": name, "status": status, "conclusion": conclusion, "started_s": now - 50, "ended_s": now - 20}
        known["steps"] = steps or (("Set up job", "completed", "success"), ("Run tests", status, conclusion))
        self.jobs.setdefault((run["id"], run["run_attempt"]), []).append(known)
        return known

    def deployment(self, ref: str, environment: str, payload: Any = None, **more: Any) -> Json:
        """One more deployment; its environment comes with it, as with GitHub."""
        self.environments.setdefault(environment, self.number())
        sha = self.resolve(ref)
        known = {"id": self.number(), "ref": ref, "sha": sha, "environment": environment, "payload": payload if payload is not None else {}}
        known |= {"task": "deploy", "description": "", "created_s": self.clock(), **more}
        self.deployments.append(known)
        self.statuses[known["id"]] = []
        return known

    def status(self, deployment: Json, state: str, **more: Any) -> Json:
        """One more status. Success makes what ran there before inactive."""
        if state == "success":
            for other in self.deployments:
                last = self.statuses[other["id"]][-1:]
                if other is not deployment and other["environment"] == deployment["environment"] and last and last[0]["state"] == "success":
                    self.status(other, "inactive")
        known = {"id": self.number(), "state": state, "description": "", "log_url": "", "target_url": "", "created_s": self.clock(), **more}
        self.statuses[deployment["id"]].append(known)
        return known

    def pull(self, head: str, merge: str | None, commits: tuple[str, ...] = ()) -> Json:
        """One more pull request."""
        known = {"number": self.number(), "head": head, "merge_commit_sha": merge, "merged_s": self.clock() if merge else 0}
        self.pulls.append(known)
        self.reviews[known["number"]] = []
        self.pull_commits[known["number"]] = list(commits or (head,))
        return known

    def review(self, pull: Json, login: str, state: str, commit: str, at_s: float = 0.0, **more: Any) -> Json:
        """One more review of it."""
        known = {
            "id": self.number(),
            "login": login,
            "login_id": PEOPLE.get(login, 99),
            "state": state,
            "commit_id": commit,
            "body": "a word",
        }
        known |= {"at_s": at_s or self.clock(), "author_association": "MEMBER", "type": "User", **more}
        self.reviews[pull["number"]].append(known)
        return known

    def wait(self, sha: str, environment: str, **more: Any) -> Json:
        """A run that waits for a reviewer of that environment."""
        number = self.environments.setdefault(environment, self.number())
        run = self.run(sha, "waiting", None, **more)
        self.pending[run["id"]] = {number: ""}
        return run

    def advance(self) -> None:
        """Whatever deploys takes up what was asked for, and ends it well; runs that a person started too."""
        for deployment in self.deployments:
            states = [status["state"] for status in self.statuses[deployment["id"]]]
            if not states:
                self.status(deployment, "in_progress")
            elif states[-1] == "in_progress":
                self.status(deployment, "success")
        for run in self.runs:
            if run["event"] == "workflow_dispatch" and run["status"] != "completed":
                done = run["status"] == "in_progress"
                run |= {"status": "completed", "conclusion": "success"} if done else {"status": "in_progress"}
                run["updated_s"] = self.clock()
