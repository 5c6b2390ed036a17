"""The invariant of waiting: a task waits for a person if, and only if, it has an open approval.

Added to the checks of `apps.tasks.integrity`, which knows no approvals.
"""

from __future__ import annotations

CHECKS = {
    "task that waits for a person without an open approval": """
        SELECT id FROM tasks_task task WHERE %s > 0 AND status = 'input_required' AND NOT EXISTS (
            SELECT 1 FROM approvals_approval WHERE task_id = task.id AND status = 'open')""",
    "open approval of a task that does not wait for a person": """
        SELECT task_id FROM approvals_approval approval WHERE %s > 0 AND status = 'open' AND NOT EXISTS (
            SELECT 1 FROM tasks_task WHERE id = approval.task_id AND status = 'input_required')""",
    "closed approval without a decision": """
        SELECT task_id FROM approvals_approval approval WHERE %s > 0 AND status IN ('approved', 'rejected')
        AND NOT EXISTS (SELECT 1 FROM approvals_decision WHERE approval_id = approval.id)""",
}
