"""Work that is done beside the requests, once it is due: rows that workers claim."""
