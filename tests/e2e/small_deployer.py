"""The playground's real deployer with many small environments of one tiny service, asked directly."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

from cockpit.playground import processes
from tests.fakes.playground import RUN, SERVICE, git, release, wait_for

NODES = 2


class Deployer:
    """The playground's deployer with many small environments, asked without the gate."""

    def __init__(self, directory: Path, places: tuple[str, ...]) -> None:
        (directory / "repo").mkdir(parents=True)
        git(directory / "repo", "init", "--quiet", "-b", "main")
        release(directory / "repo", "1.0.0", {"run.py": RUN})
        release(directory / "repo", "1.1.0", {"run.py": RUN + "# 1.1.0\n"})
        self.directory, self.places = directory, places
        self.port = 0
        self.versions: dict[str, str] = {}  # by digest
        environments = [f"--environment={name}={NODES}" for name in places]
        arguments = ["--services", SERVICE, *environments, "--released", f"{SERVICE}=1.1.0", "--drain-s", "0"]
        processes.start_module("deployer", arguments, directory, loose=True).wait()

    def ready(self) -> None:
        """Wait until every environment runs 1.1.0 and ran 1.0.0 before."""
        self.port = wait_for(lambda: processes.read_run_file(self.directory, "deployer").get("port"), "the deployer is up")
        wait_for(lambda: all(len(self.history(p)) == 2 and self.idle(p) for p in self.places), "every environment is set up", 60)
        artifacts = self.get(f"/v1/services/{SERVICE}/artifacts")["artifacts"]
        self.versions |= {a["digest"]: a["version"] for a in artifacts if a["version"] in ("1.0.0", "1.1.0")}

    def get(self, path: str, missing: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = json.loads(response.read())
        finally:
            connection.close()
        return body if response.status == 200 else missing

    def fleet(self, place: str) -> Any:
        return self.get(f"/v1/environments/{place}/services/{SERVICE}")

    def history(self, place: str) -> Any:
        return self.get(f"/v1/environments/{place}/services/{SERVICE}/deployments?limit=500")["deployments"]

    def under(self, key: str) -> Any:
        return self.get(f"/v1/deployments/by-key/{key}")

    def idle(self, place: str) -> bool:
        fleet = self.fleet(place)
        return fleet["active"] is None and len({n["digest"] for n in fleet["nodes"]}) == 1 and all(n["healthy"] for n in fleet["nodes"])

    def other(self, place: str) -> tuple[str, str]:
        """The artifact that does not run there now: (version, digest)."""
        live = self.fleet(place)["nodes"][0]["digest"]
        return next((version, digest) for digest, version in self.versions.items() if digest != live)

    def close(self) -> None:
        """End it and its nodes."""
        processes.end(processes.find(self.directory), 2.0)
