"""``stratonet app``: from images to a report, on a page in this machine's browser.

How a run passes through the modules:

1. `reach` says which folders and files may be read. `recognition` and `preview` read
   them, in the process of `apart`, which is ended if it takes too long.
2. `choices` holds what the user has chosen. It becomes command lines, nothing else.
3. `runs` stores the choices in the output folder and starts `worker` there: a separate
   process, which runs the commands and outlives page and server. Page and worker know
   of each other only through files in that folder.
4. `server` listens, `guard` keeps everybody else out, `pages` answers from templates.

After a change, run ``python -m pytest tests/stratonet_app``.
"""
