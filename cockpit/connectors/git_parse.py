"""Formats for git's output and their parsers: bytes of one git process into domain types. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from cockpit.connectors.text import one_line, plain
from cockpit.domain.errors import BadPayload
from cockpit.domain.release import Commit, ParsedTag, Service, Version, address_of, in_order, parse_tag

# A record's fields, NUL between them. `*` peels one level only, so a tag of a tag needs a second question.
TAG_FORMAT = "%(refname)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)%00%(creatordate:unix)"
_REFS_TAGS = len("refs/tags/")
# The empty field in front tells a record's start from a file name, which is never empty: everything between is told by NULs alone.
_REVIEWERS = "%(trailers:key=Reviewed-by,key=Acked-by,valueonly,unfold,separator=%x1e)"
_CO_AUTHORS = "%(trailers:key=Co-authored-by,valueonly,unfold,separator=%x1e)"
_ROLLBACK = "%(trailers:key=Rollback,valueonly,unfold,separator=%x1e)"
LOG_FORMAT = f"tformat:%x00%m%x00%H%x00%ct%x00%an%x00%ae%x00%s%x00{_REVIEWERS}%x00{_CO_AUTHORS}%x00{_ROLLBACK}"
PEOPLE_FORMAT = f"tformat:%ae%x1e{_CO_AUTHORS}%x00"
_LOG_FIELDS = 9
MAX_NAME = 1000
_LAST_US = 253_402_300_799_999_999  # git keeps dates beyond the year 9999; no calendar can show them


class Tag(Struct, frozen=True):
    """A tag as git lists it; `commit` is "" where it is not known yet, then `nested` is the tag object to peel."""

    name: str
    commit: str
    created_at_us: int
    annotated: bool = False
    nested: str = ""


def parse_tags(output: bytes) -> tuple[Tag, ...]:
    """Tags that lead to a commit; those that point at trees or blobs are left out."""
    tags = []
    try:
        for line in output.decode("utf-8", "replace").split("\n")[:-1]:
            ref, kind, object_id, peeled_kind, peeled_id, created = line.split("\0")
            if len(ref) > MAX_NAME or "\ufffd" in ref:  # of no use, or not UTF-8: nobody could ask for it by that name
                continue
            if kind == "commit":
                tags.append(Tag(ref[_REFS_TAGS:], object_id, _at_us(created)))
            elif kind == "tag" and peeled_kind == "commit":
                tags.append(Tag(ref[_REFS_TAGS:], peeled_id, _at_us(created), True))
            elif kind == "tag" and peeled_kind == "tag":
                tags.append(Tag(ref[_REFS_TAGS:], "", _at_us(created), True, object_id))
    except ValueError:  # another number of fields
        raise BadPayload("git listed the tags in an unknown form.", hint="Update git.") from None
    return tuple(tags)


def parse_peeled(output: bytes, asked: int) -> tuple[str, ...]:
    """Commit ids from `cat-file --batch-check`, one for each question; "" where there is none."""
    lines = output.decode("ascii", "replace").splitlines()
    if len(lines) != asked:
        raise BadPayload("git answered fewer tags than it was asked for.", hint="Check the repository with `git fsck`.")
    return tuple(line.split(" ")[0] if line.endswith(" commit") else "" for line in lines)


def parse_log(output: bytes) -> tuple[tuple[str, Commit], ...]:
    """(side, commit) as git printed them; side is `<` for commits on the base only, else `>`."""
    if not output:
        return ()
    tokens = output.decode("utf-8", "replace").split("\0")
    tokens.pop()  # what follows the last NUL is nothing
    commits = []
    at = 0
    while at < len(tokens):
        fields = tokens[at + 1 : at + 1 + _LOG_FIELDS]
        if tokens[at] or len(fields) != _LOG_FIELDS:
            raise BadPayload("git printed the history in an unknown form.", hint="Update git.")
        at += 1 + _LOG_FIELDS
        files_from = at
        while at < len(tokens) and tokens[at]:
            at += 1
        commits.append((fields[0], _commit(fields, tokens[files_from:at])))
    return tuple(commits)


def parse_people(output: bytes) -> tuple[str, ...]:
    """E-mail addresses of all authors and co-authors, each once, sorted."""
    found = {part.strip() for record in output.decode("utf-8", "replace").split("\0") for part in record.split("\x1e")}
    return tuple(sorted({address_of(plain(person)) for person in found if person}))


def _commit(fields: list[str], files: list[str]) -> Commit:
    _, object_id, at_s, author, email, subject, reviewers, co_authors, rollback = fields
    if files:
        files[0] = files[0].removeprefix("\n")
    return Commit(
        id=object_id,
        author=plain(author),
        email=plain(email),
        at_us=_at_us(at_s),
        subject=plain(subject),
        reviewers=_people(reviewers),
        co_authors=_people(co_authors),
        files=tuple(plain(path) for path in files),
        rollback="\n".join(one_line(value, MAX_NAME) for value in rollback.split("\x1e") if value.strip()) if rollback else "",
    )


def _people(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(plain(person.strip()) for person in text.split("\x1e") if person.strip())) if text else ()


def _at_us(seconds: str) -> int:
    try:
        return max(0, min(_LAST_US, int(seconds) * 1_000_000))
    except ValueError:
        return 0


def versions_of(tags: Iterable[Tag], service: Service) -> tuple[Version, ...]:
    """The service's versions, newest first, one for each name.

    With a tag pattern it decides. Without one: tags with the service's name as prefix, else those without prefix, else all. Of two tags
    with one version (v1.0 and 1.0) the annotated one counts, then the newer.
    """
    found = [(tag, parsed) for tag in tags if tag.commit and (parsed := parse_tag(tag.name, service.tag_pattern))]
    best: dict[str, Tag] = {}
    for tag, parsed in found if service.tag_pattern else _of_service(found, service.name):
        known = best.get(parsed.name)
        if known is None or _weight(tag) > _weight(known):
            best[parsed.name] = tag
    return in_order(tuple(Version(service.name, name, t.name, t.commit, t.created_at_us) for name, t in best.items()))


def _of_service(found: list[tuple[Tag, ParsedTag]], name: str) -> list[tuple[Tag, ParsedTag]]:
    for prefix in (name, ""):
        chosen = [pair for pair in found if pair[1].prefix == prefix]
        if chosen:
            return chosen
    return found


def _weight(tag: Tag) -> tuple[bool, int, str]:
    return tag.annotated, tag.created_at_us, tag.name


MIN_TAGS = 2  # one odd tag makes no service
MAX_SERVICES = 200


def services_of(tags: Iterable[Tag], repository: str, name: str) -> tuple[Service, ...]:
    """One service for each prefix of at least two version tags; one called `name` for tags without prefix, or where there is no prefix."""
    counts: dict[str, int] = {}
    for parsed in _parsed(tags):
        counts[parsed.prefix] = counts.get(parsed.prefix, 0) + 1
    names = sorted(prefix for prefix, count in counts.items() if prefix and count >= MIN_TAGS and plain(prefix) == prefix)[:MAX_SERVICES]
    if not names or ("" in counts and name not in names):
        names.insert(0, name)
    return tuple(Service(name=each, repository=repository) for each in names)


def _parsed(tags: Iterable[Tag]) -> Iterator[ParsedTag]:
    for tag in tags:
        parsed = parse_tag(tag.name)
        if parsed is not None:
            yield parsed
