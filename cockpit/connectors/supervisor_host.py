"""One host run by supervisord with resources/supervisor/release_host.py: its questions and wishes over XML-RPC."""

from __future__ import annotations

from collections.abc import Mapping

from cockpit.connectors.http import HttpClient
from cockpit.connectors.rolling import Part, Record
from cockpit.connectors.supervisor_wire import Fault, Info, Status, call_of, parse_answer, parse_found, parse_info, parse_status, record_of
from cockpit.domain.errors import BadPayload, ConnectorError, NotFound, OutcomeUnknown, Rejected, Unreachable

BUSY, UNKNOWN, REFUSED = 409, 404, 422
_UNKNOWN_METHOD = 1
_HINT_EXTENSION = "Install resources/supervisor on the host and add [rpcinterface:release]; the guide's chapter on connecting says how."
_HINT_READ = "Check the address, the network, and that supervisord runs there."


class Host:
    """One supervisord. Blocks; from any thread; ConnectorErrors only.

    XML-RPC sends everything as POST; what only asks is Unreachable where no answer came, what changes something is OutcomeUnknown.
    """

    def __init__(self, client: HttpClient, node: str) -> None:
        self._client = client
        self._node = node

    def close(self) -> None:
        """Close kept connections."""
        self._client.close()

    def info(self) -> Info:
        """Which services it runs."""
        return parse_info(self._ask("release.info"))

    def status(self, service: str, limit: int) -> Status:
        """Everything about a service; NotFound where it does not run that one."""
        return parse_status(self._ask("release.status", service, limit), service)

    def find(self, key: str) -> Part | None:
        """The deployment with this key."""
        return parse_found(self._ask("release.find", key))

    def begin(self, record: Record) -> Part | None:
        """Put the record there. Rejected with 409 where another deployment is under way."""
        return self._change("release.begin", record_of(record, self._node in record.nodes))

    def tell(self, word: str, key: str) -> Part | None:
        """go, abort, close or withdraw; twice changes nothing."""
        return self._change(f"release.{word}", key)

    def _ask(self, method: str, *arguments: str | int) -> bytes:
        try:
            return self._call(method, *arguments)
        except OutcomeUnknown as error:
            raise Unreachable(error.message, hint=_HINT_READ) from None

    def _change(self, method: str, *arguments: str) -> Part | None:
        try:
            return parse_found(self._call(method, *arguments))
        except BadPayload as error:
            words = f"{self._client.name} was asked and answered, but not readably ({error.message})"
            raise OutcomeUnknown(words, hint="It is asked by the key before anything is sent again.") from None

    def _call(self, method: str, *arguments: str | int) -> bytes:
        body = self._client.write("/RPC2", call_of(method, *arguments), bytes, headers={"Content-Type": "text/xml", "Accept": "text/xml"})
        answer = parse_answer(body)
        if isinstance(answer, Fault):
            raise self._refusal(answer)
        return answer.encode("utf-8", "replace")

    def _refusal(self, fault: Fault) -> ConnectorError:
        words = f"{self._client.name}: {fault.words.rstrip('.')}"
        if fault.code == _UNKNOWN_METHOD:
            return NotFound(f"{self._client.name} has no extension for releases.", hint=_HINT_EXTENSION, title="Not offered")
        if fault.code == UNKNOWN:
            return NotFound(f"{words}.", hint="Check the name in the settings and in supervisord.conf on the host.")
        if fault.code == BUSY:
            return Rejected(f"{words}.", hint="Wait for its end, or abort it.", status=BUSY)
        if fault.code == REFUSED:
            return Rejected(f"{words}.", hint="Put the release onto the host, then try again.", status=REFUSED)
        return Rejected(
            f"{words} (fault {fault.code}).", hint="Look at supervisord.conf and the log of supervisord on the host.", status=500
        )


def by_key(answers: Mapping[str, Status | ConnectorError], environment: str) -> dict[str, dict[str, Part]]:
    """The deployments of an environment, each with its pieces by node; newest first as the hosts have them."""
    found: dict[str, dict[str, Part]] = {}
    for name, answer in answers.items():
        for key, part in answer.parts.items() if isinstance(answer, Status) else ():
            if part.record.environment == environment:
                found.setdefault(key, {})[name] = part
    return found
