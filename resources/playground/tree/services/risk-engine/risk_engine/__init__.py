"""Computes the margin of accounts over a grid of market scenarios."""
