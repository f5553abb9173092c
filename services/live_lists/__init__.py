"""Lists of tasks that stay right: a snapshot, then what enters, changes and leaves.

models.py      what is told
reach.py       which filters can be followed, and which events a filter depends on beside a task's own
scopes.py      what may have changed for a follower: some tasks, what is in some projects, or all of its list
asking.py      which of these tasks match: one statement for many followers and filters
followers.py   one follower: what it was told, what is due, and the messages that are made of an answer
hub.py         one worker's followers together: what happens is asked once for all of them
following.py   how a list is followed: the snapshot, or what was missed, and what comes then
"""
