"""A small venue under release as real processes on loopback: the embedded default. Everybody and everything in it is made up."""
