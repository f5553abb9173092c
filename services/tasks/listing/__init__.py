"""How a list of tasks is read, room by room: nobody comes back to a room that a call has left.

conditions.py           the filter, checked and put in order, and its SQL   (sets.py, texts.py)
strategy.py             what is looked up first; whether an order is walked  (search_selectivity.py: words)
groups.py               a page by several keys, of pages by one
keyset.py               the rows of a page, from where it begins             (few.py: or of few tasks, sorted)
walks.py                the statements: the first rows of an order, of which some meet the filter
index_scan.py           of the order's index, project by project             (lanes.py: which index)
full_scan.py            of all that match, sorted or counted
remembered.py           what was found out on the way, for a minute

``services.tasks.queries`` goes this way, and makes the page of the rows (``services.shared.pagination``).
"""
