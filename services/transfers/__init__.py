"""Bringing in what other systems hold. A format's reader makes records of its files; the writer stores any format's.

archives.py   tar archives as a stream of files
formats/      readers; jira/: reader.py (issues as records), terms.py (what Jira's words mean here), values.py (single
              values), other_fields.py (what is left out)
texts.py      titles and names, as the API takes them
records.py    what a reader hands to the writer
writer.py     records in batches, each tried until it is written
batches.py    a batch in one transaction        (projects, people, task_rows, restricted: its parts)
known.py      what batches have in common
subtasks.py   the second pass, for parents that came later
links.py      the last pass, for links
sources.py    which rows came from where, so that nothing is written twice
summary.py    what a run did
runs.py       the whole of it

Rows are inserted by the services that own them: services/tasks/insertion.py, comments, tags, users, projects.
"""
