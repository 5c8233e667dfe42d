"""Events, items and users as the source gives them, and the deletion of days past their retention period."""
