"""Trading modes: what a service refuses in each of them."""

from .server import ApiError

NAMES = ("open", "post-only", "cancel-only", "halted")


class Mode:
    """The mode now. `refused`: by mode, the operations that it forbids. `told` is called with each new mode."""

    def __init__(self, refused, told=lambda mode: None):
        self._refused = refused
        self._told = told
        self.now = NAMES[0]

    def switch(self, name):
        if name not in NAMES:
            raise ApiError(422, "Unknown mode", "There is no such mode.", "It is one of: %s." % ", ".join(NAMES))
        self.now = name
        self._told(name)

    def check(self, operation):
        """Refuse what the mode forbids: 503, for it is possible again in another mode."""
        if operation in self._refused.get(self.now, ()):
            raise ApiError(503, "Not in this mode", "The service is %s: %s is refused now." % (self.now, operation), "Wait until it is open.")
