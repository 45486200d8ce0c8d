"""Lets Release Cockpit switch releases on a host run by supervisord. Standard library only, Python 3.8 or newer.

`make` is an XML-RPC extension of supervisord: it only reads and writes small files, so it never blocks supervisord. The program
release_agent.py beside it does the work. Both may die at any moment: what was asked, and how far it is, stands in the state directory.

    [rpcinterface:release]
    supervisor.rpcinterface_factory = release_host:make
    state = /var/lib/release-host
    services = order-gateway
    releases = /srv/{service}/releases
    current = /srv/{service}/current
    process = {service}
    health = http://127.0.0.1:8080/healthz

    [program:release-agent]
    command = python3 /usr/local/lib/release-host/release_agent.py /var/lib/release-host

Each option but `state` and `services` may be given for one service alone, such as `health.order-gateway`.
A release is a directory; its file RELEASE may hold {"version", "commit", "built_at_us"} as JSON, else the directory's name is the version.
"""

from __future__ import annotations

import hashlib
import json
import os
import time

VERSION = 1
FINAL = ("done", "failed")
KEPT = 100  # records of past deployments
BUSY, UNKNOWN, REFUSED = 409, 404, 422  # fault codes, beside supervisor's own
SILENT_S = 20.0  # an agent that says nothing for so long does not run
LEFT_S = 3600.0  # a deployment whose turn here is over, and that nobody closed for so long, blocks nothing
DEFAULTS = {"process": "{service}", "health": "", "check_s": "30", "stop_s": "60"}


def now_us():
    """Microseconds UTC."""
    return time.time_ns() // 1000


# -- files ---------------------------------------------------------------------------------------------------------------------


def write_json(path, value):
    """Replace a file at once and durably: a reader sees the old or the new content, never half of it."""
    half = f"{path}.{os.getpid()}.new"
    with open(half, "w", encoding="ascii") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(half, path)


def read_json(path):
    """The content, or None where there is none."""
    try:
        with open(path, encoding="ascii") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def option(settings, name, service):
    """An option for a service, with {service} filled in."""
    text = settings.get(f"{name}.{service}", settings.get(name, DEFAULTS.get(name, "")))
    return text.replace("{service}", service)


def services_of(settings):
    """The services that this host runs."""
    return [name for name in settings.get("services", "").replace(",", " ").split() if name]


class Records:
    """Deployments as files: what was asked (`.asked`, written by supervisord) and how far it is (`.step`, written by the agent)."""

    def __init__(self, state):
        self.folder = os.path.join(state, "deployments")

    def path(self, key, kind):
        """Keys come from outside, so no file is called as they are."""
        return os.path.join(self.folder, hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:40] + kind)

    def get(self, key):
        """What is known under this key, None where nothing is."""
        asked = read_json(self.path(key, ".asked"))
        return None if asked is None else dict(asked, **(read_json(self.path(key, ".step")) or {"state": "pending"}))

    def all(self):
        """Newest first."""
        names = [name for name in os.listdir(self.folder) if name.endswith(".asked")]
        found = [read_json(os.path.join(self.folder, name)) for name in names]
        known = [asked for asked in found if asked]
        return [self.get(asked["key"]) for asked in sorted(known, key=lambda a: a["record"]["begun_at_us"], reverse=True)]

    def ask(self, key, **changed):
        """Change what is asked under this key."""
        asked = read_json(self.path(key, ".asked")) or {"key": key, "go": False, "aborted": False, "closed": False}
        write_json(self.path(key, ".asked"), dict(asked, **changed))

    def step(self, key, **step):
        """Say how far it is."""
        write_json(self.path(key, ".step"), dict(step, moved_at_us=now_us()))

    def remove(self, key):
        """Forget it."""
        for kind in (".asked", ".step"):
            if os.path.exists(self.path(key, kind)):
                os.remove(self.path(key, kind))


# -- the half inside supervisord -----------------------------------------------------------------------------------------------


class ReleaseInterface:
    """The methods `release.*`. Arguments and answers are JSON in one string: XML-RPC has no integer for a time in microseconds."""

    def __init__(self, supervisord, settings):
        self._supervisord = supervisord
        self._settings = settings
        self._records = Records(settings["state"])

    def info(self):
        """Which services this host runs, and whether its agent works."""
        return json.dumps({"version": VERSION, "services": services_of(self._settings), "agent": self._agent_runs()})

    def status(self, service, limit):
        """Everything about a service in one answer: releases, what runs, the process, its health, the newest deployments."""
        self._known(service)
        seen = self._seen(service)
        process = self._process(service)
        state, pid = ("UNKNOWN", 0) if process is None else (state_name(process), process.pid or 0)
        answer = {
            "service": service,
            "now_us": now_us(),
            "agent": self._agent_runs(),
            "releases": seen.get("releases", []),
            "current": running_release(self._settings, service, pid),
            "process": state,
            "healthy": (state == "RUNNING" and seen.get("healthy", False)) if self._agent_runs() else None,
            "why": seen.get("why", ""),
            "deployments": [r for r in self._records.all() if r["record"]["service"] == service][: max(1, int(limit))],
        }
        return json.dumps(answer)

    def find(self, key):
        """The deployment with this key, or null."""
        return json.dumps({"now_us": now_us(), "deployment": self._records.get(key)})

    def begin(self, record):
        """Take a deployment's record in; nothing is changed yet. The same key again answers what is there."""
        wanted = checked(json.loads(record))
        key = wanted["key"]
        if self._records.get(key) is None:
            self._may_begin(wanted)
            self._records.ask(key, record=wanted, touched_at_us=now_us())
            for old in [r for r in self._records.all() if not self._open(r)][KEPT:]:
                self._records.remove(old["key"])
        return self.find(key)

    def go(self, key):
        """This host's turn. Asked twice, it is done once."""
        found = self._get(key)
        if not (found["go"] or found["aborted"] or found["closed"]):
            self._records.ask(key, go=True, touched_at_us=now_us())
        return self.find(key)

    def abort(self, key):
        """Nothing more is begun; what is under way is finished."""
        if not self._get(key)["aborted"]:
            self._records.ask(key, aborted=True, touched_at_us=now_us())
        return self.find(key)

    def close(self, key):
        """The deployment is over on all hosts: the environment is free."""
        self._get(key)
        self._records.ask(key, closed=True)
        return self.find(key)

    def withdraw(self, key):
        """Forget a record whose turn never came."""
        found = self._records.get(key)
        if found is not None and not found["go"]:
            self._records.remove(key)
        return self.find(key)

    def _may_begin(self, wanted):
        service = wanted["service"]
        for other in self._records.all():
            if self._open(other) and other["record"]["environment"] == wanted["environment"]:
                raise fault(BUSY, f"a deployment of {other['record']['service']} to {other['record']['version']} is under way")
        if not wanted["mine"]:
            return
        self._known(service)
        if self._process(service) is None:
            raise fault(10, f"supervisor knows no process {option(self._settings, 'process', service)}")
        if not self._agent_runs():
            raise fault(REFUSED, "the agent on the host does not run")
        if wanted["digest"] not in [r["digest"] for r in self._seen(service).get("releases", [])]:
            raise fault(REFUSED, f"the release {wanted['version']} is not on this host")

    @staticmethod
    def _open(record):
        under_way = record["go"] and record["state"] not in FINAL
        left = now_us() - record["touched_at_us"] > LEFT_S * 1e6
        return under_way or not (left or record["closed"] or (record["aborted"] and not record["go"]))

    def _get(self, key):
        found = self._records.get(key)
        if found is None:
            raise fault(UNKNOWN, "no such deployment")
        return found

    def _known(self, service):
        if service not in services_of(self._settings):
            raise fault(UNKNOWN, "no such service on this host")

    def _seen(self, service):
        return (read_json(os.path.join(self._settings["state"], "seen.json")) or {}).get(service, {})

    def _agent_runs(self):
        try:
            return time.time() - os.stat(os.path.join(self._settings["state"], "seen.json")).st_mtime < SILENT_S
        except OSError:
            return False

    def _process(self, service):
        group, _, name = option(self._settings, "process", service).partition(":")
        found = self._supervisord.process_groups.get(group)
        return None if found is None else found.processes.get(name or group)


def checked(record):
    """A deployment's record with everything that is read of it here."""
    texts = ("key", "service", "environment", "version", "digest")
    if not isinstance(record, dict) or not all(isinstance(record.get(name), str) and record[name] for name in texts):
        raise fault(REFUSED, "the record of the deployment lacks a part")
    if not isinstance(record.get("mine"), bool) or not isinstance(record.get("begun_at_us"), int):
        raise fault(REFUSED, "the record of the deployment lacks a part")
    return record


def make(supervisord, **settings):
    """What `supervisor.rpcinterface_factory` names."""
    missing = [name for name in ("state", "services", "releases", "current") if not settings.get(name)]
    if missing:
        raise ValueError("[rpcinterface:release] lacks " + ", ".join(missing))
    os.makedirs(os.path.join(settings["state"], "deployments"), mode=0o700, exist_ok=True)
    write_json(os.path.join(settings["state"], "settings.json"), settings)
    return ReleaseInterface(supervisord, settings)


def fault(code, words):
    """An XML-RPC fault with this code and these words."""
    from supervisor.xmlrpc import RPCError

    error = RPCError(code)
    error.text = words
    return error


def state_name(process):
    """RUNNING, FATAL and so on."""
    from supervisor.states import getProcessStateDescription

    return getProcessStateDescription(process.get_state())


def running_release(settings, service, pid):
    """The directory's name of the release that the process runs; where that cannot be seen, of the one that `current` points to."""
    releases = os.path.realpath(option(settings, "releases", service))
    seen = [option(settings, "current", service)] if not pid else [f"/proc/{pid}/cwd", option(settings, "current", service)]
    for place in seen:
        path = os.path.realpath(place)
        if path.startswith(releases + os.sep):
            return os.path.relpath(path, releases).split(os.sep)[0]
    return ""
