"""Tasks that come again: rules, series, the tasks that follow."""
