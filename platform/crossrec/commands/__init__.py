"""The command line's sub-commands, one file a group; cli.py puts them together.

A command reads its options, calls one verb (verbs/) and shows what came back.
"""
