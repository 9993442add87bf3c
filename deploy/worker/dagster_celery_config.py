"""What a Celery worker is told: dagster-celery looks for a module of this name on PYTHONPATH."""

import os

broker_url = os.environ["CELERY_BROKER_URL"]
result_backend = os.environ["CELERY_BACKEND_URL"]
worker_max_tasks_per_child = 1  # a process of its own for each run
worker_prefetch_multiplier = 1  # a run that waits goes to the worker that is free first
