-- The tables that MLflow's first revision begins with: made-up rows.
INSERT INTO experiments (name, artifact_location, lifecycle_stage) SELECT 'experiment ' || n, '/artifacts/' || n, 'active' FROM generate_series(1, 20) n;
INSERT INTO runs (run_uuid, name, source_type, source_name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id)
  SELECT md5('run' || n), 'run ' || n, 'LOCAL', 'train.py', 'user_' || n % 7, 'FINISHED', 1600000000000 + n, 1600000001000 + n, 'active',
         '/artifacts/' || n, n % 20 + 1 FROM generate_series(1, 2000) n;
INSERT INTO tags (key, value, run_uuid) SELECT 'team', 'made up', run_uuid FROM runs;
INSERT INTO params (key, value, run_uuid) SELECT 'param_' || n, n, run_uuid FROM runs, generate_series(1, 3) n;
INSERT INTO metrics (key, value, "timestamp", run_uuid) SELECT 'loss', 1.0 / n, 1600000000000 + n, run_uuid FROM runs, generate_series(1, 5) n;
