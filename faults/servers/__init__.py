"""Servers that die, dawdle and lie: what scoring and generating make of it.

server.py   a server whose answers a case decides
asking.py   what asks it, and what must come of it
slow.py     servers that die and dawdle
lying.py    answers that are wrong, endless, or lead elsewhere
"""
