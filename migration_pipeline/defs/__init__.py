"""The Dagster layer: resources, ops, jobs. With definitions.py the only place that imports Dagster."""
