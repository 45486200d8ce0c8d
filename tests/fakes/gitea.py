"""A small Gitea (interface v1) in memory: pages with Link and X-Total-Count, its error bodies; it sends no ETags, as the real one."""

from __future__ import annotations

from typing import Any

from tests.fakes.stub_http import START_S, Asked, Refused, Repository, Stub, iso, now_s

TOKEN = "gitea-canary-0123456789"
NEVER = "0001-01-01T00:00:00Z"
PEOPLE = {
    1: ("root", "Administrator", "root@playground.invalid"),
    2: ("bob", "", "Bob@playground.invalid"),
    3: ("cyd", "Cyd", "cyd@noreply.gitea.invalid"),
}


class Place:
    def __init__(self) -> None:
        self.repository = Repository()
        self.runs: list[dict[str, Any]] = []
        self.attempts: dict[tuple[int, int], dict[str, Any]] = {}
        self.jobs: dict[tuple[int, int], list[dict[str, Any]]] = {}
        self.logs: dict[int, str] = {}
        self.pulls: dict[str, dict[str, Any]] = {}
        self.reviews: dict[int, list[dict[str, Any]]] = {}


class FakeGitea(Stub):
    """`cap`: items on one page at most. `without`: parts of paths that this version does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, Place] = {}
        self.cap = 50
        self.without: tuple[str, ...] = ()
        self.version = "1.28.0"
        self.number = 100
        for method, pattern, answer in self._table():
            self.route(method, pattern, answer)

    def place(self, name: str) -> Place:
        return self.places.setdefault(name, Place())

    def next(self) -> int:
        self.number += 1
        return self.number

    def check(self, asked: Asked) -> None:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            raise Refused(401, {"message": "invalid username, password or token", "url": f"{self.url}/api/swagger"})
        if any(part in asked.path for part in self.without):
            raise self.missing(asked)

    def missing(self, asked: Asked) -> Refused:
        return Refused(404, {"errors": None, "message": "not found", "url": f"{self.url}/api/swagger"})

    def _table(self) -> list[tuple[str, str, Any]]:
        of = "/api/v1/repos/{owner}/{name}"
        run = f"{of}/actions/runs/{{run}}"
        return [
            ("GET", "/api/v1/version", lambda a: {"version": self.version}),
            ("GET", "/api/v1/user", lambda a: self._user(1)),
            ("GET", "/api/v1/settings/api", lambda a: {"max_response_items": self.cap, "default_paging_num": 30}),
            ("GET", f"{of}/tags", self._tags),
            ("GET", f"{of}/git/commits/{{sha}}", lambda a: self._commit(self._found(a), files=False)),
            ("GET", f"{of}/commits", self._commits),
            ("GET", f"{of}/commits/{{sha}}/pull", self._pull),
            ("GET", f"{of}/compare/{{range}}", self._compare),
            ("GET", f"{of}/pulls/{{index}}/reviews", lambda a: self._page(a, self._of(a).reviews.get(int(a.named["index"]), []))),
            ("GET", f"{of}/actions/runs", lambda a: self._listed(a, "workflow_runs", self._of(a).runs)),
            ("GET", run, self._run),
            ("GET", f"{run}/attempts/{{attempt}}", self._attempt),
            ("GET", f"{run}/jobs", lambda a: self._jobs(a, self._run(a)["run_attempt"])),
            ("GET", f"{run}/attempts/{{attempt}}/jobs", lambda a: self._jobs(a, int(a.named["attempt"]))),
            ("GET", f"{of}/actions/jobs/{{job}}/logs", self._log),
            ("POST", f"{run}/rerun", self._rerun),
            ("POST", f"{run}/cancel", self._cancel),
        ]

    def _of(self, asked: Asked) -> Place:
        found = self.places.get(f"{asked.named['owner']}/{asked.named['name']}")
        if found is None:
            raise self.missing(asked)
        return found

    def _slice(self, asked: Asked, items: list[Any]) -> tuple[list[Any], dict[str, str]]:
        size, page = min(self.cap, int(asked.query.get("limit", 30))), int(asked.query.get("page", 1))
        headers = {"X-Total-Count": str(len(items))}
        if len(items) > page * size:
            headers["Link"] = f'<{self.url}{asked.path}?limit={size}&page={page + 1}>; rel="next"'
        return items[(page - 1) * size : page * size], headers

    def _page(self, asked: Asked, items: list[Any]) -> Any:
        found, headers = self._slice(asked, items)
        return 200, found, headers

    def _listed(self, asked: Asked, name: str, items: list[Any]) -> Any:
        found, headers = self._slice(asked, items)
        return 200, {name: found, "total_count": len(items)}, headers

    def _user(self, number: int) -> dict[str, Any]:
        login, name, email = PEOPLE[number]
        return {"id": number, "login": login, "full_name": name, "email": email, "username": login}

    # repository

    def _found(self, asked: Asked) -> dict[str, Any]:
        name, repository = asked.named["sha"], self._of(asked).repository
        if any(c in name for c in " \n~^:") or ".." in name:
            raise Refused(422, {"message": f"no valid ref or sha: {name}", "url": f"{self.url}/api/swagger"})
        commit = repository.resolve(name)
        if not commit:
            raise self.missing(asked)
        return repository.commits[commit]

    def _commit(self, commit: dict[str, Any], files: bool = True) -> dict[str, Any]:
        at = iso(commit["at_s"] + 7200, "+02:00")
        who = {"name": commit["name"], "email": commit["email"], "date": at}
        return {
            "url": f"{self.url}/api/v1/x",
            "sha": commit["id"],
            "created": at,
            "html_url": f"{self.url}/x",
            "commit": {"message": commit["message"], "author": who, "committer": who, "verification": None},
            "author": None,
            "parents": [{"sha": parent} for parent in commit["parents"]],
            "files": [{"filename": f, "status": "modified"} for f in commit["files"]] if files else None,
        }

    def _tags(self, asked: Asked) -> Any:
        repository = self._of(asked).repository
        tags = sorted(repository.tags, key=lambda tag: tag["at_s"], reverse=True)
        return self._page(asked, [self._tag(tag) for tag in tags])

    def _tag(self, tag: dict[str, Any]) -> dict[str, Any]:
        meta = {"url": f"{self.url}/x", "sha": tag["commit"], "created": iso(tag["at_s"])}
        return {
            "name": tag["name"],
            "message": tag["message"] or "",
            "id": tag["commit"] if tag["message"] is None else "e" * 40,
            "commit": meta,
        }

    def _commits(self, asked: Asked) -> Any:
        repository = self._of(asked).repository
        return self._page(asked, [self._commit(c) for c in repository.between("", repository.resolve(asked.query["sha"]))])

    def _compare(self, asked: Asked) -> Any:
        repository = self._of(asked).repository
        base, _, head = asked.named["range"].partition("...")
        found = repository.between(repository.resolve(base), repository.resolve(head))
        return {"total_commits": len(found), "commits": [self._commit(c) for c in found]}

    # pull requests

    def pull(self, place: Place, index: int, heads: list[str], merge: str, author: int = 1) -> None:
        place.pulls[merge] = {
            "number": index,
            "state": "closed",
            "merged": True,
            "merge_commit_sha": merge,
            "head": {"ref": "work", "sha": heads[-1]},
            "user": self._user(author),
        }

    def review(self, place: Place, index: int, who: int, state: str, commit: str, at_s: float, **more: Any) -> None:
        word = {"id": self.next(), "user": self._user(who), "team": None, "state": state, "body": "", "commit_id": commit, "stale": False}
        given = {"official": True, "dismissed": False, "submitted_at": iso(at_s)}
        place.reviews.setdefault(index, []).append(word | given | more)

    def _pull(self, asked: Asked) -> Any:
        pull = self._of(asked).pulls.get(self._found(asked)["id"])
        if pull is None:
            raise self.missing(asked)
        return pull

    # Actions

    def run(
        self, place: Place, ref: str, conclusion: str, *, workflow: str = "ci.yml", jobs: tuple[str, ...] = ("unit",)
    ) -> dict[str, Any]:
        number = self.next()
        at_s = START_S + 400_000 + number * 10
        full = f"refs/tags/{ref}" if ref.startswith("v") else f"refs/heads/{ref}"
        made = {
            "id": number,
            "url": f"{self.url}/x",
            "html_url": f"{self.url}/owner/name/actions/runs/{number}",
            "display_title": "a push",
            "path": f"{workflow}@{full}",
            "event": "push",
            "run_attempt": 1,
            "run_number": number,
            "head_sha": place.repository.resolve(ref),
            "head_branch": ref,
            "status": "completed",
            "conclusion": conclusion,
            "started_at": iso(at_s),
            "completed_at": iso(at_s + 5),
        }
        place.runs.insert(0, made)
        place.jobs[(number, 1)] = [self._job(name, conclusion, at_s) for name in jobs]
        return made

    def _job(self, name: str, conclusion: str, at_s: float) -> dict[str, Any]:
        done = conclusion != ""
        return {
            "id": self.next(),
            "name": name,
            "labels": ["ubuntu"],
            "status": "completed" if done else "queued",
            "conclusion": conclusion,
            "steps": [],
            "started_at": iso(at_s) if done else NEVER,
            "completed_at": iso(at_s + 5) if done else NEVER,
        }

    def _run(self, asked: Asked) -> dict[str, Any]:
        found = next((r for r in self._of(asked).runs if str(r["id"]) == asked.named["run"]), None)
        if found is None:
            raise self.missing(asked)
        return found

    def _attempt(self, asked: Asked) -> Any:
        run, attempt = self._run(asked), int(asked.named["attempt"])
        if attempt == run["run_attempt"]:
            return run
        found = self._of(asked).attempts.get((run["id"], attempt))
        if found is None:
            raise self.missing(asked)
        return found

    def _jobs(self, asked: Asked, attempt: int) -> Any:
        return self._listed(asked, "jobs", self._of(asked).jobs.get((self._run(asked)["id"], attempt), []))

    def _log(self, asked: Asked) -> Any:
        log = self._of(asked).logs.get(int(asked.named["job"]) if asked.named["job"].isdigit() else 0)
        if log is None:
            raise self.missing(asked)
        return 200, log, {}

    def _rerun(self, asked: Asked) -> Any:
        place, run = self._of(asked), self._run(asked)
        if run["status"] != "completed":
            raise Refused(400, {"message": "this workflow run is not done", "url": f"{self.url}/api/swagger"})
        place.attempts[(run["id"], run["run_attempt"])] = dict(run)
        names = [job["name"] for job in place.jobs[(run["id"], run["run_attempt"])]]
        run |= {"run_attempt": run["run_attempt"] + 1, "status": "queued", "conclusion": "", "completed_at": NEVER}
        place.jobs[(run["id"], run["run_attempt"])] = [self._job(name, "", now_s()) for name in names]
        return 201, run, {}

    def _cancel(self, asked: Asked) -> Any:
        place, run = self._of(asked), self._run(asked)
        if run["status"] == "completed":
            raise Refused(409, {"message": "the run has ended", "url": f"{self.url}/api/swagger"})
        ended = {"status": "completed", "conclusion": "cancelled", "completed_at": iso(now_s())}
        run |= ended
        for job in place.jobs[(run["id"], run["run_attempt"])]:
            job |= ended
        return 200, b"", {}
