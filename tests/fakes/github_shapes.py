"""The bodies that GitHub answers with, in its own shape: each validates against its OpenAPI specification."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

USER_LINKS = (
    *("avatar", "events", "followers", "following", "gists", "html", "organizations", "received_events", "repos", "starred"),
    "subscriptions",
)
REPOSITORY_LINKS = (
    *("archive", "assignees", "blobs", "branches", "collaborators", "comments", "commits", "compare", "contents", "contributors"),
    *("deployments", "downloads", "events", "forks", "git_commits", "git_refs", "git_tags", "hooks", "html", "issue_comment"),
    *("issue_events", "issues", "keys", "labels", "languages", "merges", "milestones", "notifications", "pulls", "releases"),
    *("stargazers", "statuses", "subscribers", "subscription", "tags", "teams", "trees"),
)
CLONE_LINKS = ("clone_url", "git_url", "ssh_url", "svn_url")


def stamp(seconds: float) -> str:
    """A moment as GitHub writes it."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def user(base: str, login: str, number: int, kind: str = "User") -> Json:
    links = {f"{name}_url": f"{base}/users/{login}/{name}" for name in USER_LINKS}
    more = {"login": login, "id": number, "node_id": f"U{number}", "gravatar_id": "", "site_admin": False, "type": kind}
    return {**links, "url": f"{base}/users/{login}", **more}


def private_user(base: str, login: str, number: int) -> Json:
    counts = ("followers", "following", "public_gists", "public_repos", "collaborators", "disk_usage", "owned_private_repos")
    numbers = dict.fromkeys((*counts, "private_gists", "total_private_repos"), 0)
    words = dict.fromkeys(("bio", "blog", "company", "email", "hireable", "location", "name"))
    times = {"created_at": stamp(0), "updated_at": stamp(0), "two_factor_authentication": True}
    return {**user(base, login, number), **numbers, **words, **times}


def repository(base: str, name: str) -> Json:
    place = f"{base}/repos/{name}"
    links = {f"{link}_url": f"{place}/{link}" for link in REPOSITORY_LINKS}
    owner, short = name.split("/")
    more = {"description": None, "fork": False, "full_name": name, "id": 1, "node_id": "R1", "name": short, "private": True, "url": place}
    return {**links, **more, "owner": user(base, owner, 1)}


def full_repository(base: str, name: str, push: bool) -> Json:
    counts = ("forks", "forks_count", "open_issues", "open_issues_count", "size", "stargazers_count", "watchers", "watchers_count")
    numbers = dict.fromkeys((*counts, "network_count", "subscribers_count"), 0)
    has = dict.fromkeys(
        ("has_issues", "has_projects", "has_wiki", "has_pages", "has_discussions", "has_downloads", "archived", "disabled"), False
    )
    words = dict.fromkeys(("homepage", "language", "license"))
    times = {name: stamp(0) for name in ("pushed_at", "created_at", "updated_at")}
    rights = {"permissions": {"admin": False, "pull": True, "push": push}, "default_branch": "main", "mirror_url": None}
    links = dict.fromkeys(CLONE_LINKS, f"https://clone.invalid/{name}")
    return {**repository(base, name), **numbers, **has, **words, **times, **rights, **links}


def tag(base: str, name: str, tag_name: str, sha: str) -> Json:
    place = f"{base}/repos/{name}"
    links = {f"{kind}_url": f"{place}/{kind}/{sha}" for kind in ("zipball", "tarball")}
    return {"name": tag_name, "node_id": tag_name, "commit": {"sha": sha, "url": f"{place}/commits/{sha}"}, **links}


def commit(base: str, name: str, known: Json) -> Json:
    place, sha = f"{base}/repos/{name}/commits/{known['sha']}", known["sha"]
    person = {"name": known["author"], "email": known["email"], "date": stamp(known["at_s"])}
    inner = {"author": person, "committer": person, "comment_count": 0, "message": known["message"], "url": place}
    account = user(base, known["login"], known["login_id"]) if known["login"] else None
    return {
        "url": place,
        "html_url": place,
        "comments_url": f"{place}/comments",
        "sha": sha,
        "node_id": sha,
        "commit": {**inner, "tree": {"sha": sha, "url": place}},
        "author": account,
        "committer": account,
        "parents": [{"sha": parent, "url": place} for parent in known["parents"]],
    }


def file(base: str, name: str, path: str) -> Json:
    place = f"{base}/repos/{name}/contents/{path}"
    counts = {"additions": 1, "deletions": 0, "changes": 1, "sha": "0" * 40, "status": "modified", "filename": path}
    return {**counts, "blob_url": place, "contents_url": place, "raw_url": place}


def comparison(base: str, name: str, basehead: str, commits: list[Json], behind: int, total: int, first: Json) -> Json:
    place = f"{base}/repos/{name}/compare/{basehead}"
    status = "diverged" if behind and total else "ahead" if total else "behind" if behind else "identical"
    links = dict.fromkeys(("url", "html_url", "permalink_url", "diff_url", "patch_url"), place)
    ends = {"base_commit": first, "merge_base_commit": first, "status": status}
    return {**links, **ends, "ahead_by": total, "behind_by": behind, "total_commits": total, "commits": commits}


def run(base: str, name: str, known: Json) -> Json:
    place = f"{base}/repos/{name}/actions/runs/{known['id']}"
    links = ("jobs", "logs", "check_suite", "cancel", "rerun", "artifacts", "workflow")
    head = {"id": known["head_sha"], "tree_id": known["head_sha"], "message": "m", "timestamp": stamp(known["commit_s"])}
    person = {"name": "a", "email": "a@playground.invalid"}
    own = ("id", "head_branch", "head_sha", "status", "conclusion", "workflow_id", "name", "display_title", "event", "path", "run_attempt")
    times = {f"{when}_at": stamp(known[f"{when}_s"]) for when in ("created", "updated", "run_started")}
    return {
        **{own_name: known[own_name] for own_name in own},
        "node_id": str(known["id"]),
        "run_number": 1,
        "url": place,
        "html_url": place,
        "pull_requests": [],
        **times,
        **{f"{link}_url": f"{place}/{link}" for link in links},
        "head_commit": {**head, "author": person, "committer": person},
        "repository": repository(base, name),
        "head_repository": repository(base, name),
    }


def job(base: str, name: str, owner: Json, known: Json) -> Json:
    place = f"{base}/repos/{name}/actions/jobs/{known['id']}"
    times = {"started_at": stamp(known["started_s"]), "created_at": stamp(known["started_s"])}
    ended = known["status"] == "completed"
    runner = dict.fromkeys(("runner_id", "runner_name", "runner_group_id", "runner_group_name"))
    return {
        "id": known["id"],
        "node_id": str(known["id"]),
        "run_id": owner["id"],
        "run_url": place,
        "head_sha": owner["head_sha"],
        "workflow_name": owner["name"],
        "head_branch": owner["head_branch"],
        "name": known["name"],
        "url": place,
        "html_url": place,
        "status": known["status"],
        "conclusion": known["conclusion"],
        "labels": [],
        **times,
        **runner,
        "completed_at": stamp(known["ended_s"]) if ended else None,
        "check_run_url": f"{base}/repos/{name}/check-runs/{known['id']}",
        "steps": [
            {"name": step, "status": status, "conclusion": conclusion, "number": number, "started_at": None, "completed_at": None}
            for number, (step, status, conclusion) in enumerate(known["steps"], 1)
        ],
    }


def annotation(path: str, line: int, level: str, title: str, message: str) -> Json:
    columns = {"start_column": None, "end_column": None, "raw_details": None, "blob_href": "https://blob.invalid/"}
    return {"path": path, "start_line": line, "end_line": line, "annotation_level": level, "title": title, "message": message, **columns}


def deployment(base: str, name: str, known: Json) -> Json:
    place = f"{base}/repos/{name}/deployments/{known['id']}"
    own = ("id", "sha", "ref", "task", "environment", "payload", "description")
    links = {"statuses_url": f"{place}/statuses", "repository_url": f"{base}/repos/{name}", "url": place}
    times = {"created_at": stamp(known["created_s"]), "updated_at": stamp(known["created_s"])}
    creator = user(base, "deploy-bot", 9)
    return {**{key: known[key] for key in own}, "node_id": str(known["id"]), "creator": creator, **links, **times}


def status(base: str, name: str, deployment_id: int, known: Json) -> Json:
    place = f"{base}/repos/{name}/deployments/{deployment_id}"
    links = {"deployment_url": place, "repository_url": f"{base}/repos/{name}", "url": f"{place}/statuses/{known['id']}"}
    times = {"created_at": stamp(known["created_s"]), "updated_at": stamp(known["created_s"])}
    words = {key: known[key] for key in ("id", "state", "description", "log_url", "target_url")}
    return {**words, "node_id": str(known["id"]), "creator": user(base, "deploy-bot", 9), **links, **times}


def pull(base: str, name: str, known: Json) -> Json:
    place = f"{base}/repos/{name}/pulls/{known['number']}"
    names = ("comments", "statuses", "html", "issue", "review_comments", "review_comment", "self", "commits")
    links = {link: {"href": place} for link in names}
    end = {"label": "acme:x", "ref": "x", "repo": full_repository(base, name, True), "user": user(base, "ada", 11)}
    own = {key: known[key] for key in ("number", "merge_commit_sha")}
    texts = ("url", "html_url", "comments_url", "commits_url", "diff_url", "issue_url", "patch_url", "review_comments_url", "statuses_url")
    empty = dict.fromkeys(("assignee", "body", "closed_at", "milestone", "auto_merge"))
    merged = stamp(known["merged_s"]) if known["merged_s"] else None
    return {
        **dict.fromkeys(texts, place),
        **empty,
        **own,
        "_links": links,
        "labels": [],
        "id": known["number"],
        "node_id": "P",
        "review_comment_url": place,
        "state": "closed",
        "locked": False,
        "title": "A change",
        "created_at": stamp(0),
        "updated_at": stamp(0),
        "author_association": "MEMBER",
        "head": {**end, "sha": known["head"]},
        "base": {**end, "sha": known["head"]},
        "merged_at": merged,
        "user": user(base, "ada", 11),
    }


def review(base: str, name: str, number: int, known: Json) -> Json:
    place = f"{base}/repos/{name}/pulls/{number}"
    links = {"_links": {"html": {"href": place}, "pull_request": {"href": place}}, "html_url": place, "pull_request_url": place}
    person = user(base, known["login"], known["login_id"], known["type"])
    own = {key: known[key] for key in ("id", "state", "commit_id", "body", "author_association")}
    return {**own, "node_id": "V", "user": person, "submitted_at": stamp(known["at_s"]), **links}


def environment(base: str, name: str, place: str, number: int) -> Json:
    url = f"{base}/repos/{name}/environments/{place}"
    return {"id": number, "node_id": "E", "name": place, "url": url, "html_url": url, "created_at": stamp(0), "updated_at": stamp(0)}


def pending(base: str, name: str, place: str, number: int, reviewers: list[Json], mine: bool) -> Json:
    about = {key: value for key, value in environment(base, name, place, number).items() if not key.endswith("_at")}
    people = [{"type": "User", "reviewer": person} for person in reviewers]
    return {"environment": about, "wait_timer": 0, "wait_timer_started_at": None, "current_user_can_approve": mine, "reviewers": people}


def content(base: str, name: str, path: str, text: str) -> Json:
    place = f"{base}/repos/{name}/contents/{path}"
    links = {"_links": {"git": place, "html": place, "self": place}, **dict.fromkeys(("git_url", "html_url", "download_url", "url"), place)}
    own = {"name": path.rpartition("/")[2], "path": path, "sha": "0" * 40, "size": len(text), "type": "file"}
    return {**links, **own, "content": text, "encoding": "base64"}
