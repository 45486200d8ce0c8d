"""A small Jenkins in memory: folders, builds with `tree`, the queue, crumbs bound to a session, redirects after writes, HTML errors.

It answers whatever the tree asks for and more: fields that were not asked for are ignored. No ETags, as the real one.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

from tests.fakes.stub_http import START_S, Asked, Refused, Stub, now_s

USER = "release-bot"
TOKEN = "11canary0123456789abcdef"
PAGE = "<html><head><title>Error {0} Not Found</title></head><body><h2>HTTP ERROR {0}</h2></body></html>"


class Job:
    def __init__(self, path: str, parameters: tuple[str, ...]) -> None:
        self.path = path
        self.parameters = parameters
        self.builds: list[dict[str, Any]] = []
        self.stages: dict[int, list[dict[str, Any]]] | None = {}
        self.reports: dict[int, list[dict[str, Any]]] = {}
        self.logs: dict[int, str] = {}
        self.next = 1


class FakeJenkins(Stub):
    """`lazy`: reads of the queue or a job before something that waits begins."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, Job] = {}
        self.queue: list[dict[str, Any]] = []
        self.number = 1000
        self.crumbs = True
        self.sessions = 0
        self.lazy = 2
        self.anonymous = False
        for method, pattern, answer in (
            ("GET", "/whoAmI/api/json", self._who),
            ("GET", "/crumbIssuer/api/json", self._crumb),
            ("GET", "/queue/api/json", self._waiting),
            ("POST", "/queue/cancelItem", self._drop),
        ):
            self.route(method, pattern, answer)

    def job(self, path: str, parameters: tuple[str, ...] = ("VERSION", "RELEASE_COCKPIT_KEY")) -> Job:
        return self.jobs.setdefault("/job/" + path.replace("/", "/job/"), Job(path, parameters))

    def check(self, asked: Asked) -> None:
        if asked.headers.get("authorization") != "Basic " + b64encode(f"{USER}:{TOKEN}".encode()).decode():
            raise Refused(401, PAGE.format(401))
        if asked.method == "POST" and self.crumbs:
            session = re.search(r"JSESSIONID\.1=s(\d+)", asked.headers.get("cookie", ""))
            if session is None or asked.headers.get("jenkins-crumb") != f"crumb{session.group(1)}":
                raise Refused(403, "<html><body><h2>HTTP ERROR 403 No valid crumb was included in the request</h2></body></html>")

    def extra(self, asked: Asked) -> dict[str, str]:
        return {"X-Jenkins": "2.479.1", "X-Content-Type-Options": "nosniff"}

    def missing(self, asked: Asked) -> Refused:
        return Refused(404, PAGE.format(404))

    def _routed(self, asked: Asked) -> Any:
        found = next((path for path in sorted(self.jobs, key=len, reverse=True) if asked.path.startswith(path + "/")), None)
        return self._of_job(asked, self.jobs[found], asked.path[len(found) :]) if found else super()._routed(asked)

    def _of_job(self, asked: Asked, job: Job, rest: str) -> Any:
        self._tick()
        if (asked.method, rest) == ("GET", "/api/json"):
            return self._told(job, asked.query.get("tree", ""))
        if asked.method == "POST" and rest in ("/build", "/buildWithParameters"):
            return self._enqueue(asked, job, rest == "/buildWithParameters")
        matched = re.fullmatch(r"/(\d+)/(.+)", rest)
        build = next((b for b in job.builds if matched and b["number"] == int(matched.group(1))), None)
        if build is None or matched is None:
            raise self.missing(asked)
        return self._of_build(asked, job, build, matched.group(2))

    def _of_build(self, asked: Asked, job: Job, build: dict[str, Any], rest: str) -> Any:
        number = build["number"]
        if (asked.method, rest) == ("POST", "stop"):
            if build["building"]:
                build |= {"building": False, "result": "ABORTED", "duration": int(now_s() * 1000) - build["timestamp"]}
            return 302, b"", {"Location": f"{self.url}/"}
        answers: dict[str, Any] = {"api/json": build}
        if number in job.reports:
            answers["testReport/api/json"] = {"_class": "hudson.tasks.junit.TestResult", "suites": job.reports[number]}
        if job.stages is not None:
            answers["wfapi/describe"] = {"id": str(number), "status": "SUCCESS", "stages": job.stages.get(number, [])}
        if number in job.logs:
            answers["consoleText"] = job.logs[number]
        if asked.method != "GET" or rest not in answers:
            raise self.missing(asked)
        return answers[rest]

    def _told(self, job: Job, tree: str) -> Any:
        ranged = re.search(r"(builds|allBuilds)\[.*\]\{0,(\d+)\}", tree)
        assert ranged is not None
        most = int(ranged.group(2)) if ranged.group(1) == "allBuilds" else min(100, int(ranged.group(2)))
        definitions = [{"_class": "hudson.model.StringParameterDefinition", "name": name} for name in job.parameters]
        return {
            "_class": "org.jenkinsci.plugins.workflow.job.WorkflowJob",
            "property": [{}, {"parameterDefinitions": definitions}] if definitions else [{}],
            "inQueue": any(item["job"] is job for item in self.queue),
            "nextBuildNumber": job.next,
            ranged.group(1): job.builds[:most],
        }

    # builds

    def build(
        self, job: Job, result: str | None, commit: str, *, version: str = "", at_s: float | None = None, **more: Any
    ) -> dict[str, Any]:
        number, job.next = job.next, job.next + 1
        self.number += 1
        at_s = START_S + 400_000 + self.number * 10 if at_s is None else at_s
        actions: list[dict[str, Any]] = [{}, {"_class": "hudson.model.CauseAction"}]
        if version:
            actions.append({"parameters": [{"_class": "x", "name": "VERSION", "value": version}]})
        branch = {"SHA1": commit, "name": "refs/remotes/origin/main"}
        actions.append(
            {"lastBuiltRevision": {"SHA1": commit, "branch": [branch]}, "remoteUrls": ["https://git.playground.invalid/venue.git"]}
        )
        made = {
            "_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun",
            "number": number,
            "url": f"{self.url}/job/{job.path}/{number}/",
            "queueId": self.number,
            "result": result,
            "building": result is None,
            "timestamp": int(at_s * 1000),
            "duration": 5000 if result else 0,
            "actions": actions,
            **more,
        }
        job.builds.insert(0, made)
        return made

    def stage(self, job: Job, build: dict[str, Any], name: str, status: str) -> None:
        assert job.stages is not None
        told = {"id": str(len(name)), "name": name, "status": status, "startTimeMillis": build["timestamp"], "durationMillis": 1000}
        job.stages.setdefault(build["number"], []).append(told)

    def report(self, job: Job, build: dict[str, Any], stage: str, cases: list[dict[str, Any]]) -> None:
        job.reports[build["number"]] = [{"name": "tests.test_book", "enclosingBlockNames": [stage], "cases": cases, "duration": 1.0}]
        failed = sum(case["status"] in ("FAILED", "REGRESSION") for case in cases)
        build["actions"].append({"failCount": failed, "skipCount": 0, "totalCount": len(cases), "urlName": "testReport"})

    # queue

    def _enqueue(self, asked: Asked, job: Job, parameters: bool) -> Any:
        if parameters != bool(job.parameters):
            raise Refused(400 if parameters else 405, PAGE.format(400))
        self.number += 1
        given = [{"name": name, "value": value} for name, value in asked.form.items() if name in job.parameters]
        actions = [{"parameters": given}] if given else [{}]
        task = {"name": job.path, "url": f"{self.url}/job/{job.path.replace('/', '/job/')}/"}
        item = {"id": self.number, "inQueueSince": int(now_s() * 1000), "task": task, "actions": actions, "job": job, "reads": 0}
        self.queue.append(item)
        return 201, b"", {"Location": f"{self.url}/queue/item/{self.number}/"}

    def _tick(self) -> None:
        for item in list(self.queue):
            item["reads"] += 1
            if item["reads"] > self.lazy:
                self.queue.remove(item)
                job = item["job"]
                told = [a["lastBuiltRevision"]["SHA1"] for b in job.builds for a in b["actions"] if "lastBuiltRevision" in a]
                commit = told[0] if told else "0" * 40
                build = self.build(job, None, commit, at_s=now_s() - 1, queueId=item["id"])
                build["actions"] = [*item["actions"], *build["actions"]]

    def _waiting(self, asked: Asked) -> Any:
        self._tick()
        return {"items": [{k: v for k, v in item.items() if k not in ("job", "reads")} for item in self.queue]}

    def _drop(self, asked: Asked) -> Any:
        self.queue = [item for item in self.queue if str(item["id"]) != asked.query["id"]]
        return 302, b"", {"Location": f"{self.url}/queue/"}

    def _who(self, asked: Asked) -> Any:
        return {"name": "anonymous" if self.anonymous else USER, "anonymous": self.anonymous, "authorities": ["authenticated"]}

    def _crumb(self, asked: Asked) -> Any:
        if not self.crumbs:
            raise self.missing(asked)
        self.sessions += 1
        body = {"crumb": f"crumb{self.sessions}", "crumbRequestField": "Jenkins-Crumb"}
        return 200, body, {"Set-Cookie": f"JSESSIONID.1=s{self.sessions}; Path=/; HttpOnly"}
