"""The outside world, one file a system: each returns domain types and raises domain errors only."""
