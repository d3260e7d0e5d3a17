"""Floor 4, beside the menu: a node as programs see it, HTTP and JSON (docs/control.md).

door        who may come in, and what is refused before it is read
tree        the addresses; those of `people`, `files`, `transfers`, `events` and `metrics`
openapi     the same, told to programs
"""
