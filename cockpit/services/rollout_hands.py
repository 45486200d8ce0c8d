"""What rollouts do through others, as callables: so that they know neither connectors nor how an action is carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from cockpit.domain.policy import Rules
from cockpit.domain.release import Fleet
from cockpit.domain.rollout import Action, LineState, Refusal, RolloutPlan
from cockpit.domain.strategy import Step

if TYPE_CHECKING:
    from cockpit.connectors.ports import Traffic, Venue


class Hands(Struct, frozen=True):
    """Main thread, but for `look` and the ports, which are asked in a worker.

    plan(kind, service, environment, version): what one action would do. fire(step, kind, reason, key): begins the action of that key on the
    step's nodes; NotAllowed where nothing was sent. abort(key): asks to stop it. ask(question, step): a gate's answer in words.
    look(service, environment): the fleet, asked now. traffic, venue: the port of a service, None where none is connected.
    who(): who acts here. why_not(): why nobody may act here ("" = they may). rules(): the policy in force.
    """

    plan: Callable[[str, str, str, str], RolloutPlan | Refusal]
    fire: Callable[[Step, str, str, str], Action]
    abort: Callable[[str], None]
    ask: Callable[[str, Step], tuple[LineState, str]]
    look: Callable[[str, str], Fleet]
    traffic: Callable[[str], Traffic | None]
    venue: Callable[[str], Venue | None]
    who: Callable[[], str]
    why_not: Callable[[], str]
    rules: Callable[[], Rules]


class RolloutPace(Struct, frozen=True):
    """Seconds: between two looks; between two questions about what nobody answered; how long a bad answer stands before it counts."""

    look_s: float = 0.5
    again_s: float = 5.0
    sure_s: float = 3.0
