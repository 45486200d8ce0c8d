"""A small GitLab (REST v4) in memory: pages with its headers, weak ETags, rate limit headers, its error bodies."""

from __future__ import annotations

from typing import Any

from tests.fakes.stub_http import START_S, Asked, Refused, Repository, Stub, iso, now_s

TOKEN = "glpat-canary-0123456789"
PEOPLE = {1: ("root", "Administrator", "root@playground.invalid"), 2: ("bob", "Bob", "Bob@playground.invalid"), 3: ("cyd", "Cyd", "")}


class Project:
    def __init__(self, path: str) -> None:
        self.path = path
        self.repository = Repository()
        self.pipelines: list[dict[str, Any]] = []
        self.jobs: dict[int, list[dict[str, Any]]] = {}
        self.variables: dict[int, dict[str, str]] = {}
        self.reports: dict[int, dict[str, list[dict[str, Any]]]] = {}
        self.traces: dict[int, str] = {}
        self.environments: list[str] = ["staging", "production"]
        self.deployments: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.approvals: dict[int, list[tuple[int, float | None]]] = {}
        self.reviewers: dict[int, list[tuple[int, str]]] = {}
        self.pushes: dict[int, list[tuple[str, float]]] = {}
        self.answers: dict[int, list[dict[str, Any]]] = {}
        self.rules: dict[int, list[dict[str, Any]]] = {}


class FakeGitlab(Stub):
    """`scopes` of the token; `limit`: requests a minute that the headers tell of."""

    etags = True

    def __init__(self) -> None:
        super().__init__()
        self.projects: dict[str, Project] = {}
        self.scopes: list[str] | None = ["api"]
        self.left = 1900
        self.number = 100
        self.protect: set[str] = set()  # environments where a deployment waits for approval
        self.variables_allowed = True
        self.variables_hidden = False
        for method, pattern, answer in self._table():
            self.route(method, pattern, answer)

    def project(self, path: str) -> Project:
        return self.projects.setdefault(path, Project(path))

    def next(self) -> int:
        self.number += 1
        return self.number

    def check(self, asked: Asked) -> None:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            raise Refused(401, {"message": "401 Unauthorized"})

    def extra(self, asked: Asked) -> dict[str, str]:
        self.left -= 1
        reset = str(int(now_s()) + 60)
        return {"RateLimit-Limit": "2000", "RateLimit-Remaining": str(self.left), "RateLimit-Reset": reset, "RateLimit-Observed": "1"}

    def _table(self) -> list[tuple[str, str, Any]]:
        of = "/api/v4/projects/{project}"
        return [
            ("GET", "/api/v4/version", lambda a: {"version": "17.5.1-ee", "revision": "abc"}),
            ("GET", "/api/v4/user", lambda a: self._user(1) | {"email": "root@playground.invalid"}),
            ("GET", "/api/v4/users/{id}", lambda a: self._user(int(a.named["id"])) | {"public_email": PEOPLE[int(a.named["id"])][2]}),
            ("GET", "/api/v4/personal_access_tokens/self", self._token),
            ("GET", "/api/v4/projects", lambda a: self._page(a, [{"id": 1, "path_with_namespace": path} for path in self.projects])),
            ("GET", f"{of}/repository/tags", self._tags),
            ("GET", f"{of}/repository/commits", self._commits),
            ("GET", f"{of}/repository/commits/{{sha}}", lambda a: self._commit(self._found(a))),
            ("GET", f"{of}/repository/commits/{{sha}}/diff", lambda a: self._page(a, self._diffs(self._found(a)["files"]))),
            ("GET", f"{of}/repository/commits/{{sha}}/merge_requests", self._requests_of),
            ("GET", f"{of}/repository/compare", self._compare),
            ("GET", f"{of}/merge_requests/{{iid}}/approvals", self._approvals),
            ("GET", f"{of}/merge_requests/{{iid}}/reviewers", self._reviewers),
            ("GET", f"{of}/merge_requests/{{iid}}/versions", self._pushes),
            ("GET", f"{of}/pipelines", self._pipelines),
            ("POST", f"{of}/pipeline", self._start),
            ("GET", f"{of}/pipelines/{{id}}", self._pipeline),
            ("GET", f"{of}/pipelines/{{id}}/jobs", lambda a: self._page(a, self._of(a).jobs.get(self._pipeline(a)["id"], []))),
            ("GET", f"{of}/pipelines/{{id}}/variables", self._variables),
            ("GET", f"{of}/pipelines/{{id}}/test_report_summary", self._summary),
            ("GET", f"{of}/pipelines/{{id}}/test_report", self._report),
            ("POST", f"{of}/pipelines/{{id}}/retry", self._retry),
            ("POST", f"{of}/pipelines/{{id}}/cancel", self._cancel),
            ("GET", f"{of}/jobs/{{id}}/trace", self._trace),
            ("POST", f"{of}/jobs/{{id}}/cancel", self._cancel_job),
            ("GET", f"{of}/environments", self._environments),
            ("GET", f"{of}/deployments", self._deployments),
            ("GET", f"{of}/deployments/{{id}}", self._deployment),
            ("POST", f"{of}/deployments/{{id}}/approval", self._approve),
        ]

    # what the routes share

    def _of(self, asked: Asked) -> Project:
        found = self.projects.get(asked.named["project"])
        if found is None:
            raise Refused(404, {"message": "404 Project Not Found"})
        return found

    def _page(self, asked: Asked, items: list[Any]) -> Any:
        size, page = min(100, int(asked.query.get("per_page", 20))), int(asked.query.get("page", 1))
        more = len(items) > page * size
        headers = {"X-Page": str(page), "X-Per-Page": str(size), "X-Next-Page": str(page + 1) if more else "", "X-Total": str(len(items))}
        if more:
            headers["Link"] = f'<{self.url}{asked.path}?page={page + 1}&per_page={size}>; rel="next"'
        return 200, items[(page - 1) * size : page * size], headers

    def _token(self, asked: Asked) -> Any:
        if self.scopes is None:
            raise Refused(404, {"message": "404 Not Found"})
        return {"id": 4, "scopes": self.scopes, "active": True}

    def _user(self, number: int) -> dict[str, Any]:
        if number not in PEOPLE:
            raise Refused(404, {"message": "404 User Not Found"})
        username, name, _ = PEOPLE[number]
        return {"id": number, "username": username, "name": name, "state": "active", "web_url": f"{self.url}/{username}"}

    # repository

    def _found(self, asked: Asked) -> dict[str, Any]:
        repository = self._of(asked).repository
        commit = repository.resolve(asked.named["sha"])
        if not commit:
            raise Refused(404, {"message": "404 Commit Not Found"})
        return repository.commits[commit]

    def _commit(self, commit: dict[str, Any]) -> dict[str, Any]:
        at = iso(commit["at_s"])
        return {
            "id": commit["id"],
            "short_id": commit["id"][:8],
            "title": commit["title"],
            "message": commit["message"],
            "author_name": commit["name"],
            "author_email": commit["email"],
            "authored_date": at,
            "committed_date": iso(commit["at_s"] + 7200, "+02:00"),  # the same moment, told in another zone
            "created_at": at,
            "parent_ids": commit["parents"],
            "trailers": {},
        }

    def _tags(self, asked: Asked) -> Any:
        repository = self._of(asked).repository
        tags = sorted(repository.tags, key=lambda tag: tag["at_s"], reverse=True)
        return self._page(asked, [self._tag(repository, tag) for tag in tags])

    def _tag(self, repository: Repository, tag: dict[str, Any]) -> dict[str, Any]:
        annotated = tag["message"] is not None
        return {
            "name": tag["name"],
            "message": tag["message"],
            "target": "f" * 40 if annotated else tag["commit"],
            "commit": self._commit(repository.commits[tag["commit"]]),
            "release": None,
            "protected": False,
            "created_at": iso(tag["at_s"]) if annotated else None,
        }

    def _commits(self, asked: Asked) -> Any:
        repository = self._of(asked).repository
        base, dots, head = asked.query.get("ref_name", "HEAD").partition("..")
        ends = (repository.resolve(base), repository.resolve(head)) if dots else ("", repository.resolve(base))
        if not ends[1] or (dots and not ends[0]):
            return self._page(asked, [])  # GitLab says nothing of names that do not exist here
        return self._page(asked, [self._commit(c) for c in repository.between(*ends, asked.query.get("path", ""))])

    def _diffs(self, files: list[str]) -> list[dict[str, Any]]:
        return [{"old_path": f, "new_path": f, "a_mode": "100644", "b_mode": "100644", "diff": "@@ -1 +1 @@"} for f in files]

    def _compare(self, asked: Asked) -> Any:
        repository = self._of(asked).repository
        found = repository.between(repository.resolve(asked.query["from"]), repository.resolve(asked.query["to"]))
        files = sorted({f for commit in found for f in commit["files"]})
        commits = [self._commit(c) for c in reversed(found)]
        return {"commit": commits[-1] if commits else None, "commits": commits, "diffs": self._diffs(files), "compare_timeout": False}

    # merge requests

    def _requests_of(self, asked: Asked) -> Any:
        commit = self._found(asked)["id"]
        return self._page(asked, [self._request(r) for r in self._of(asked).requests if commit in r["commits"]])

    def _request(self, request: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in request.items() if k != "commits"} | {"author": self._user(request["author"])}

    def request(self, project: Project, iid: int, commits: list[str], *, merge: str = "", author: int = 1, state: str = "merged") -> None:
        """A merge request whose source branch had these commits, one a push, an hour apart."""
        project.pushes[iid] = [(commit, START_S + 360_000 + 3600 * n) for n, commit in enumerate(commits)]
        project.requests.append(
            {
                "id": 1000 + iid,
                "iid": iid,
                "state": state,
                "sha": commits[-1],
                "merge_commit_sha": merge or None,
                "squash_commit_sha": None,
                "updated_at": iso(START_S + 720_000),
                "author": author,
                "commits": [*commits, merge],
            }
        )

    def _iid(self, asked: Asked) -> int:
        iid = int(asked.named["iid"])
        if iid not in self._of(asked).pushes:
            raise Refused(404, {"message": "404 Not found"})
        return iid

    def _approvals(self, asked: Asked) -> Any:
        given = self._of(asked).approvals.get(self._iid(asked), [])
        by = [{"user": self._user(who)} | ({"approved_at": iso(at)} if at is not None else {}) for who, at in given]
        return {"user_has_approved": False, "user_can_approve": True, "approved": bool(by), "approved_by": by}

    def _reviewers(self, asked: Asked) -> Any:
        found = self._of(asked).reviewers.get(self._iid(asked), [])
        return [{"user": self._user(who), "state": state, "created_at": iso(START_S + 361_000)} for who, state in found]

    def _pushes(self, asked: Asked) -> Any:
        pushes = self._of(asked).pushes[self._iid(asked)]
        return [{"id": n, "head_commit_sha": commit, "created_at": iso(at)} for n, (commit, at) in reversed(list(enumerate(pushes)))]

    # pipelines

    def pipeline(self, project: Project, ref: str, status: str, *, source: str = "push", at_s: float | None = None) -> dict[str, Any]:
        number = self.next()
        at_s = START_S + 400_000 + number if at_s is None else at_s
        made = {
            "id": number,
            "iid": number,
            "project_id": 1,
            "sha": project.repository.resolve(ref),
            "ref": ref,
            "status": status,
            "source": source,
            "created_at": iso(at_s),
            "updated_at": iso(at_s + 30),
            "web_url": f"{self.url}/{project.path}/-/pipelines/{number}",
        }
        project.pipelines.insert(0, made)
        project.jobs[number] = []
        return made

    def job(self, project: Project, pipeline: dict[str, Any], name: str, status: str, **more: Any) -> dict[str, Any]:
        number = self.next()
        ran = status not in ("created", "pending", "manual", "skipped")
        made = {
            "id": number,
            "name": name,
            "stage": "test",
            "status": status,
            "allow_failure": False,
            "created_at": pipeline["created_at"],
            "started_at": pipeline["created_at"] if ran else None,
            "finished_at": pipeline["updated_at"] if ran and status != "running" else None,
            "ref": pipeline["ref"],
            "pipeline": {k: pipeline[k] for k in ("id", "ref", "sha", "status", "source", "created_at", "updated_at", "web_url")},
            **more,
        }
        project.jobs[pipeline["id"]].insert(0, made)
        return made

    def _pipelines(self, asked: Asked) -> Any:
        found = [p for p in self._of(asked).pipelines if asked.query.get("source", p["source"]) == p["source"]]
        return self._page(asked, found)

    def _pipeline(self, asked: Asked) -> dict[str, Any]:
        found = next((p for p in self._of(asked).pipelines if str(p["id"]) == asked.named["id"]), None)
        if found is None:
            raise Refused(404, {"message": "404 Not found"})
        return found

    def _variables(self, asked: Asked) -> Any:
        if self.variables_hidden:
            raise Refused(403, {"message": "403 Forbidden"})
        variables = self._of(asked).variables.get(self._pipeline(asked)["id"], {})
        return [{"key": k, "value": v, "variable_type": "env_var"} for k, v in variables.items()]

    def _start(self, asked: Asked) -> Any:
        project, body = self._of(asked), asked.json
        if not project.repository.resolve(body["ref"]):
            raise Refused(400, {"message": {"base": ["Reference not found"]}})
        if body.get("variables") and not self.variables_allowed:
            raise Refused(400, {"message": {"base": ["Insufficient permissions to set pipeline variables"]}})
        made = self.pipeline(project, body["ref"], "pending", source="api", at_s=now_s() - 60)
        variables = {v["key"]: v["value"] for v in body.get("variables", [])}
        project.variables[made["id"]] = variables
        environment = variables.get("RELEASE_COCKPIT_ENVIRONMENT")
        self.job(project, made, f"deploy-{environment}" if environment else "unit", "created")
        return 201, made, {}

    def _retry(self, asked: Asked) -> Any:
        pipeline = self._pipeline(asked)
        for job in self._of(asked).jobs[pipeline["id"]]:
            if job["status"] in ("failed", "canceled"):
                job |= {"id": self.next(), "status": "pending", "started_at": None, "finished_at": None}
                pipeline["status"] = "pending"
        return 201, pipeline, {}

    def _cancel(self, asked: Asked) -> Any:
        project, pipeline = self._of(asked), self._pipeline(asked)
        if pipeline["status"] in ("pending", "running", "created"):
            pipeline |= {"status": "canceled", "updated_at": iso(now_s())}
            for job in project.jobs[pipeline["id"]]:
                if job["status"] in ("pending", "running", "created"):
                    job["status"] = "canceled"
            for made in project.deployments:
                if (
                    made["deployable"]
                    and made["deployable"]["pipeline"]["id"] == pipeline["id"]
                    and made["status"] in ("created", "running")
                ):
                    made |= {"status": "canceled", "updated_at": iso(now_s())}
        return pipeline

    def _summary(self, asked: Asked) -> Any:
        project, pipeline = self._of(asked), self._pipeline(asked)
        suites = []
        for name, cases in project.reports.get(pipeline["id"], {}).items():
            ids = [job["id"] for job in project.jobs[pipeline["id"]] if job["name"].split(" ")[0] == name]
            suites.append({"name": name, "total_time": 1.5, "build_ids": ids, "suite_error": None, **self._counts(cases)})
        return {"total": {"time": 1.5, "count": 1, "suite_error": None}, "test_suites": suites}

    def _counts(self, cases: list[dict[str, Any]]) -> dict[str, int]:
        words = {"success_count": "success", "failed_count": "failed", "skipped_count": "skipped", "error_count": "error"}
        return {"total_count": len(cases)} | {k: sum(c["status"] == v for c in cases) for k, v in words.items()}

    def _report(self, asked: Asked) -> Any:
        reports = self._of(asked).reports.get(self._pipeline(asked)["id"], {})
        suites = [{"name": name, "total_time": 1.5, **self._counts(cases), "test_cases": cases} for name, cases in reports.items()]
        return {"total_time": 1.5, "total_count": 1, "test_suites": suites}

    def _trace(self, asked: Asked) -> Any:
        trace = self._of(asked).traces.get(int(asked.named["id"]) if asked.named["id"].isdigit() else 0)
        if trace is None:
            raise Refused(404, {"message": "404 Not Found"})
        return 200, trace, {}

    def _cancel_job(self, asked: Asked) -> Any:
        for made in self._of(asked).deployments:
            if made["deployable"] and str(made["deployable"]["id"]) == asked.named["id"]:
                made |= {"status": "canceled", "updated_at": iso(now_s())}
                return made["deployable"] | {"status": "canceled"}
        raise Refused(404, {"message": "404 Not found"})

    # deployments

    def deploy(
        self, project: Project, environment: str, ref: str, status: str, *, at_s: float | None = None, **pipeline: Any
    ) -> dict[str, Any]:
        """A deployment by a pipeline's job."""
        made = pipeline.get("pipeline") or self.pipeline(project, ref, status, at_s=at_s)
        job = next((j for j in project.jobs[made["id"]] if j["name"] == f"deploy-{environment}"), None)
        job = job or self.job(project, made, f"deploy-{environment}", status)
        found = {
            "id": self.next(),
            "iid": 1,
            "ref": ref,
            "sha": made["sha"],
            "status": status,
            "created_at": made["created_at"],
            "updated_at": made["updated_at"],
            "user": self._user(1),
            "environment": {"id": 9, "name": environment, "external_url": "https://gateway.playground.invalid"},
            "deployable": job,
        }
        project.deployments.insert(0, found)
        return found

    def advance(self) -> None:
        """Every pipeline that was started through the interface takes one step."""
        with self.lock:
            for project in self.projects.values():
                for pipeline in [p for p in project.pipelines if p["source"] == "api"]:
                    self._step(project, pipeline)

    def _step(self, project: Project, pipeline: dict[str, Any]) -> None:
        environment = project.variables.get(pipeline["id"], {}).get("RELEASE_COCKPIT_ENVIRONMENT", "")
        made = next((d for d in project.deployments if d["deployable"] and d["deployable"]["pipeline"]["id"] == pipeline["id"]), None)
        later = {"updated_at": iso(now_s())}
        if pipeline["status"] == "pending":
            pipeline |= {"status": "running"} | later
            if environment:
                self.deploy(project, environment, pipeline["ref"], "running", pipeline=pipeline)
        elif pipeline["status"] == "running":
            pipeline |= {"status": "success"} | later
            for job in project.jobs[pipeline["id"]]:
                job |= {"status": "success", "started_at": pipeline["created_at"], "finished_at": iso(now_s())}
            if made is not None:
                made |= {"status": "success"} | later

    def _environments(self, asked: Asked) -> Any:
        names = [name for name in self._of(asked).environments if asked.query.get("name", name) == name]
        return self._page(asked, [{"id": 1, "name": name, "slug": name, "state": "available", "external_url": None} for name in names])

    def _deployments(self, asked: Asked) -> Any:
        query, found = asked.query, list(self._of(asked).deployments)
        if "updated_after" in query and query.get("order_by") != "updated_at":
            raise Refused(400, {"message": "400 Bad request - `updated_at` filter and `updated_at` sorting must be paired"})
        for name in ("environment", "status"):
            if name in query:
                found = [d for d in found if (d["environment"]["name"] if name == "environment" else d["status"]) == query[name]]
        found = [d for d in found if d["updated_at"] >= query.get("updated_after", "")]
        found.sort(key=lambda d: d["updated_at" if query.get("order_by") == "updated_at" else "id"], reverse=query.get("sort") == "desc")
        return self._page(asked, found)

    def _deployment(self, asked: Asked) -> Any:
        found = next((d for d in self._of(asked).deployments if str(d["id"]) == asked.named["id"]), None)
        if found is None:
            raise Refused(404, {"message": "404 Not found"})
        rules = self._of(asked).rules.get(found["id"])
        return found | ({"pending_approval_count": 1, "approvals": [], "approval_summary": {"rules": rules}} if rules else {})

    def _approve(self, asked: Asked) -> Any:
        project, body = self._of(asked), asked.json
        found = next((d for d in project.deployments if str(d["id"]) == asked.named["id"]), None)
        if found is None:
            raise Refused(404, {"message": "404 Not found"})
        if found["status"] != "blocked":
            raise Refused(400, {"message": "This deployment is not waiting for approvals."})
        if body["status"] not in ("approved", "rejected"):
            raise Refused(400, {"error": "status does not have a valid value"})
        project.answers.setdefault(found["id"], []).append(body)
        found["status"] = "created" if body["status"] == "approved" else "failed"
        return 201, {"user": self._user(1), "created_at": iso(now_s()), **body}, {}
