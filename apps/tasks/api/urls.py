from django.urls import path

from apps.tasks.api import app_events, dead_letters, views

urlpatterns = [
    path("events", app_events.Events.as_view(), name="events"),
    path("tasks", views.Tasks.as_view(), name="tasks"),
    path("tasks/<uuid:id>", views.OneTask.as_view(), name="task"),
    path("tasks/<uuid:id>/events", views.TaskEvents.as_view(), name="task-events"),
    path("tasks/<uuid:id>/attempts", views.TaskAttempts.as_view(), name="task-attempts"),
    path("tasks/<uuid:id>/checkpoints", views.TaskCheckpoints.as_view(), name="task-checkpoints"),
    path("tasks/<uuid:id>/checkpoints/<int:seq>", views.TaskCheckpoint.as_view(), name="task-checkpoint"),
    path("tasks/<uuid:id>/cancel", views.CancelTask.as_view(), name="task-cancel"),
    path("tasks/<uuid:id>/retry", views.RetryTask.as_view(), name="task-retry"),
    path("tasks/<uuid:id>/fork", views.ForkTask.as_view(), name="task-fork"),
    path("dead-letters", dead_letters.DeadLetters.as_view(), name="dead-letters"),
    path("dead-letters/groups", dead_letters.DeadLetterGroups.as_view(), name="dead-letter-groups"),
    path("dead-letters/bulk", dead_letters.BulkDeadLetters.as_view(), name="dead-letter-bulk"),
    path("dead-letters/<int:id>/retry", dead_letters.RetryDeadLetter.as_view(), name="dead-letter-retry"),
    path("dead-letters/<int:id>/discard", dead_letters.DiscardDeadLetter.as_view(), name="dead-letter-discard"),
    path("dead-letters/operations/<uuid:id>", dead_letters.OneOperation.as_view(), name="operation"),
    path("dead-letters/operations/<uuid:id>/items", dead_letters.OperationItems.as_view(), name="operation-items"),
    path("dead-letters/operations/<uuid:id>/stop", dead_letters.StopOperation.as_view(), name="operation-stop"),
]
