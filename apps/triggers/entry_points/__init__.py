"""Entry points: what starts an agent's work, and with what.

- `lifecycle`: named by the document, changed, paused, resumed, removed; started by a call;
- `firing`: the one way in which work is started, with a record of each time;
- `templates`: what makes a task's input and session of what a trigger brings;
- `activity`: what of it runs now;
- `rules`: what can be wrong with entry points in a document;
- `upkeep`: what checks, repairs and prunes them.

What starts work (a call, a clock, …) is a module of `apps.triggers.starters`.
"""
