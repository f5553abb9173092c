"""Bringing in what other systems hold. A source's reader makes records of its files; the writer stores any source's.

archives.py   tar archives as a stream of files
jira.py       Jira's issues, as records         (jira_terms.py: what its words mean here; jira_values.py: single
              values; jira_fields.py: what is left out)
texts.py      titles and names, as the API takes them
records.py    what a reader hands to the writer
writer.py     records in batches, each tried until it is written
batches.py    a batch in one transaction        (projects, people, tasks.py: its parts; restricted.py)
subtasks.py   the second pass, for parents that came later
links.py      the last pass, for links
sources.py    which rows came from where, so that nothing is written twice
summary.py    what a run did
runs.py       the whole of it
"""
