"""The kinds of connections that are built in, by what they are for."""
