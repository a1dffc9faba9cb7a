"""
The commands for twistd: a module each, and what they share in `options`.

A further command is a module like `echo`: a class of options with a class of settings of its own,
and a `makeService` that says what is served; and a line in twisted/plugins.
"""
