"""The settings of this node: settings.conf beside run.py, changed by SETTINGS in the environment. Read once, at the start."""

import hashlib
import os

FILE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "settings.conf")


def read(lines):
    """Name and value by line; empty lines and those that begin with # do not count."""
    pairs = (line.partition("=") for line in lines if line.strip() and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def settled(changes, path=FILE):
    """The file's values with these changes; a name that the file does not have ends the program."""
    with open(path, encoding="utf-8") as file:
        values = read(file)
    changed = read(changes.split(","))
    unknown = sorted(set(changed) - set(values))
    if unknown:
        raise SystemExit("there is no setting %s" % ", ".join(unknown))
    return {**values, **changed}


def describe(values):
    """(hash of the configuration, flags as name=value): two nodes with the same answer are set in the same way."""
    flags = sorted("%s=%s" % (name[5:], value) for name, value in values.items() if name.startswith("flag."))
    rest = sorted("%s=%s" % pair for pair in values.items() if not pair[0].startswith("flag."))
    return hashlib.sha256("\n".join(rest).encode()).hexdigest()[:16], flags


VALUES = settled(os.environ.get("SETTINGS", ""))


def whole(name):
    return int(VALUES[name])


def on(flag):
    return VALUES["flag." + flag] == "on"
