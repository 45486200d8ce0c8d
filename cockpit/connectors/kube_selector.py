"""A workload's selector, as the API takes it in an address. Pure."""

from __future__ import annotations

from urllib.parse import quote

from cockpit.connectors.kube_wire import SelectorWire
from cockpit.domain.errors import BadPayload

_HINT = "What answers there is no Kubernetes API, or one of another kind."


def selector_text(selector: SelectorWire | None) -> str:
    """A selector as the API takes it in an address; BadPayload where it would select everything."""
    parts = [f"{key}={value}" for key, value in sorted(((selector.match_labels if selector else None) or {}).items())]
    for expression in (selector.match_expressions if selector else None) or ():
        values = ",".join(expression.values or ())
        forms = {
            "In": f"{expression.key} in ({values})",
            "NotIn": f"{expression.key} notin ({values})",
            "Exists": expression.key,
            "DoesNotExist": f"!{expression.key}",
        }
        if expression.operator not in forms:
            raise BadPayload(f"A selector has the unknown operator “{quote(expression.operator[:50])}”.", hint=_HINT)
        parts.append(forms[expression.operator])
    if not parts:
        raise BadPayload("A workload has no selector.", hint=_HINT)
    return ",".join(parts)
