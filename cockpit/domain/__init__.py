"""Pure rules and types: no I/O, no threads, no clock (time is an argument)."""
