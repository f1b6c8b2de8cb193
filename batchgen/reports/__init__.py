"""What people and programs read: results, page, progress, log, status and plans as texts."""
