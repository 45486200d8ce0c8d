"""Release Cockpit's core: no Qt anywhere below this line; it runs on a server with no display."""

__version__ = "0.1.0"
