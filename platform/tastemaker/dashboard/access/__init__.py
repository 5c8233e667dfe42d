"""Who may see and do what: users and roles, sessions and login, and the audit of searches."""
