"""The titles of operations, as people would call what they do; made from the names of operations where these say it."""

TITLES = {
    "create_token": "Log in",
    "refresh_token": "Get new tokens",
    "revoke_token": "Log out",
    "register_user": "Register",
    "get_root": "Find out what is where",
    "get_health": "Ask whether the server runs",
    "get_readiness": "Ask whether the server can serve",
    "get_jwks": "Get the keys that tokens are verified with",
    "get_me": "Get your account",
    "update_me": "Update your account",
    "change_password": "Change your password",
    "list_sessions": "List your sessions",
    "list_security_events": "List what happened to your account",
    "list_api_keys": "List your API keys",
    "update_project_task": "Update a task of a project",
    "count_tasks": "Count tasks in groups",
    "query_tasks": "List tasks by a filter in the body",
    "query_projects": "List projects by a filter in the body",
    "query_comments": "List comments by a filter in the body",
    "query_members": "List members by a filter in the body",
    "query_tags": "List tags by a filter in the body",
    "query_milestones": "List milestones by a filter in the body",
    "query_saved_views": "List saved views by a filter in the body",
    "query_notifications": "List your notifications by a filter in the body",
    "query_users": "List users by a filter in the body",
    "query_api_keys": "List your API keys by a filter in the body",
    "query_sessions": "List your sessions by a filter in the body",
    "query_security_events": "List what happened to your account by a filter in the body",
    "query_task_history": "List what happened to a task by a filter in the body",
    "query_relations": "List relations by a filter in the body",
    "create_tasks": "Create many tasks",
    "update_tasks": "Update many tasks",
    "delete_tasks": "Delete many tasks",
    "update_matching_tasks": "Update all tasks that match",
    "get_task_by_ref": "Get a task by its ref",
    "put_task": "Update a task, by PUT",
    "put_comment": "Update a comment, by PUT",
    "list_task_history": "List what happened to a task",
    "get_task_follow": "Ask whether you follow a task",
    "get_project_follow": "Ask whether you follow a project",
    "get_notification_preferences": "Get what you are told of",
    "update_notification_preferences": "Update what you are told of",
    "clear_tasks": "Delete all tasks of everybody",
    "update_user": "Disable or enable an account",
}
_CAPITALS = {"api": "API", "jira": "Jira"}
_VOWELS = "aeiou"


def title_of(name: str) -> str:
    """The title of an operation."""
    if name in TITLES:
        return TITLES[name]
    verb, *words = name.split("_")
    article = ""
    if words and not words[-1].endswith("s") and verb != "list":
        article = "an " if words[0][0] in _VOWELS and words[0] != "user" else "a "
    return f"{verb.capitalize()} {article}{' '.join(_CAPITALS.get(word, word) for word in words)}".strip()
