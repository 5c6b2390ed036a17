from django.urls import path

from apps.tasks.api import views

urlpatterns = [
    path("tasks", views.Tasks.as_view(), name="tasks"),
    path("tasks/<uuid:id>", views.OneTask.as_view(), name="task"),
    path("tasks/<uuid:id>/events", views.TaskEvents.as_view(), name="task-events"),
    path("tasks/<uuid:id>/attempts", views.TaskAttempts.as_view(), name="task-attempts"),
    path("tasks/<uuid:id>/checkpoints", views.TaskCheckpoints.as_view(), name="task-checkpoints"),
    path("tasks/<uuid:id>/checkpoints/<int:seq>", views.TaskCheckpoint.as_view(), name="task-checkpoint"),
    path("tasks/<uuid:id>/cancel", views.CancelTask.as_view(), name="task-cancel"),
    path("tasks/<uuid:id>/retry", views.RetryTask.as_view(), name="task-retry"),
    path("tasks/<uuid:id>/fork", views.ForkTask.as_view(), name="task-fork"),
]
