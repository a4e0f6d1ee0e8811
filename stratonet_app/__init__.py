"""``stratonet app``: from images to a report, on a page of this machine's browser.

What flows through, in this order:

1. `reach` says what may be looked at, and `recognition` and `preview` look, in the
   process of `apart`, which is ended where it takes too long.
2. `choices` are what the user has said. They become command lines, nothing else.
3. `runs` keeps them in the folder of the output and starts `worker` there: a process of
   its own, which runs the commands and outlives page and server. Files in that folder
   are all that page and worker know of each other.
4. `server` listens, `guard` lets nobody else in, `pages` answers, from templates.

While changing it, run ``python -m pytest tests/stratonet_app``.
"""
