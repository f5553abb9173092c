"""What releases left behind: rows, tokens, cursors and answers, as their own code wrote them (``make.py``)."""
