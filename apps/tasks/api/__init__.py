"""`/tasks`: submitting work, looking at it, stopping and repeating it."""
