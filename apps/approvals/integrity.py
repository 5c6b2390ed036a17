"""The invariants of waiting: a task waits for a person if, and only if, it has an open approval, and whatever has a
deadline or a reminder has its queue entry.

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
    "open approval with a deadline without its queue entry": """
        SELECT id FROM approvals_approval approval WHERE due_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM queue_queueentry WHERE app_id = %s AND kind = 'approval' AND key = approval.id)""",
    "queue entry of an approval that nothing is due for": """
        SELECT key FROM queue_queueentry WHERE app_id = %s AND kind = 'approval' AND NOT EXISTS (
            SELECT 1 FROM approvals_approval WHERE id = queue_queueentry.key AND due_at IS NOT NULL)""",
}
