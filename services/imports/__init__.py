"""Bringing in what other systems hold. A source's reader makes records of its files; the writer stores any source's.

archives.py   tar archives as a stream of files
jira.py       Jira's issues, as records         (jira_terms.py: what its words mean here)
records.py    what a reader hands to the writer
writer.py     a batch of records, in one transaction        (projects, people, tasks.py: its parts)
subtasks.py   the second pass, for parents that came later
sources.py    which rows came from where, so that nothing is written twice
summary.py    what a run did
runs.py       the whole of it
"""
