"""Reading fields of a JSON object, with a refusal that names the field."""

from .server import ApiError


def text(body, name, longest=64):
    value = body.get(name)
    if not isinstance(value, str) or not value or len(value) > longest or not value.isprintable():
        raise ApiError(422, "Bad field", "%s must be a text of 1 to %d characters." % (name, longest))
    return value


def whole(body, name, low, high):
    value = body.get(name)
    if type(value) is not int or not low <= value <= high:
        raise ApiError(422, "Bad field", "%s must be a whole number from %d to %d." % (name, low, high))
    return value


def one_of(body, name, allowed, default=None):
    value = body.get(name, default)
    if not isinstance(value, str) or value not in allowed:
        raise ApiError(422, "Bad field", "%s must be one of: %s." % (name, ", ".join(allowed)))
    return value


def objects(body, name, most):
    value = body.get(name)
    if not isinstance(value, list) or len(value) > most or not all(isinstance(item, dict) for item in value):
        raise ApiError(422, "Bad field", "%s must be a list of at most %d objects." % (name, most))
    return value


def ticks(body, name):
    """A price such as "101.50" as a whole number of hundredths. Prices are never binary fractions on the way in."""
    value = body.get(name)
    if isinstance(value, str) and value.isascii() and len(value) <= 12:
        units, _, cents = value.partition(".")
        if units.isdigit() and len(cents) <= 2 and (cents.isdigit() or "." not in value):
            price = int(units) * 100 + int(cents.ljust(2, "0"))
            if price > 0:
                return price
    raise ApiError(422, "Bad price", "%s must be a positive decimal string with at most two places." % name, 'For example "101.50".')


def decimal(price):
    return "%d.%02d" % divmod(price, 100)
