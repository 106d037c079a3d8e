"""Runs that end, or stand still, at each step of their writing."""
