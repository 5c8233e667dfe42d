"""The command line: one file per command, each an entry point in the group `tastemaker.commands`.

A command's module imports nothing slow at its top: `tastemaker --help` reads them all.
"""
