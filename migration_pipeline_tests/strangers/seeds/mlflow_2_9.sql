-- What MLflow 2.9 has besides: made-up rows.
INSERT INTO experiment_tags (key, value, experiment_id) SELECT 'team', 'made up', experiment_id FROM experiments;
INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source)
  SELECT md5('dataset' || experiment_id), experiment_id, 'dataset', md5(name), 'local', '/data' FROM experiments;
INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id)
  SELECT md5('input' || run_uuid), 'DATASET', md5('dataset' || experiment_id), 'RUN', run_uuid FROM runs;
INSERT INTO input_tags (input_uuid, name, value) SELECT input_uuid, 'mlflow.data.context', 'training' FROM inputs;
INSERT INTO registered_models (name, creation_time, last_updated_time) SELECT 'model ' || n, 1600000000000, 1600000000000 FROM generate_series(1, 10) n;
INSERT INTO registered_model_tags (key, value, name) SELECT 'team', 'made up', name FROM registered_models;
INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source, run_id, status)
  SELECT name, n, 1600000000000, 1600000000000, 'None', '/artifacts', md5('run' || n), 'READY' FROM registered_models, generate_series(1, 5) n;
INSERT INTO model_version_tags (key, value, name, version) SELECT 'checked', 'true', name, version FROM model_versions;
INSERT INTO registered_model_aliases (alias, version, name) SELECT 'champion', 5, name FROM registered_models;
