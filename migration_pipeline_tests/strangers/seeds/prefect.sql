-- Prefect 2.14: made-up rows.
INSERT INTO flow (id, name, tags) SELECT md5('flow' || n)::uuid, 'flow-' || n, '["nightly"]' FROM generate_series(1, 30) n;
INSERT INTO work_pool (id, name, type) SELECT md5('pool' || n)::uuid, 'pool-' || n, 'process' FROM generate_series(1, 3) n;
INSERT INTO work_queue (id, name, work_pool_id) SELECT md5('queue' || n)::uuid, 'default', md5('pool' || n)::uuid FROM generate_series(1, 3) n;
UPDATE work_pool SET default_queue_id = work_queue.id FROM work_queue WHERE work_pool_id = work_pool.id;
INSERT INTO worker (name, work_pool_id) SELECT 'worker', id FROM work_pool;
INSERT INTO agent (name, work_queue_id) SELECT 'agent-' || id, id FROM work_queue;
INSERT INTO deployment (id, name, schedule, flow_id, work_queue_id, version, created_by)
  SELECT md5('deployment' || n)::uuid, 'deployment-' || n, '{"cron": "0 0 * * *", "timezone": "UTC", "day_or": true}',
         md5('flow' || n)::uuid, md5('queue1')::uuid, '1', '{"type": "user"}' FROM generate_series(1, 30) n;
INSERT INTO flow_run (id, name, state_type, state_name, flow_id, deployment_id, start_time, end_time, total_run_time, work_queue_id)
  SELECT md5('run' || n)::uuid, 'run-' || n, 'COMPLETED', 'Completed', md5('flow' || n % 30 + 1)::uuid, md5('deployment' || n % 30 + 1)::uuid,
         now() - interval '1 day', now(), '01:00', md5('queue1')::uuid FROM generate_series(1, 2000) n;
INSERT INTO flow_run_state (id, type, name, flow_run_id) SELECT md5('state' || id)::uuid, 'COMPLETED', 'Completed', id FROM flow_run;
UPDATE flow_run SET state_id = flow_run_state.id FROM flow_run_state WHERE flow_run_id = flow_run.id;
INSERT INTO task_run (id, name, state_type, state_name, task_key, dynamic_key, flow_run_id)
  SELECT md5(id || 'task' || n)::uuid, 'task-' || n, 'COMPLETED', 'Completed', 'task', n, id FROM flow_run, generate_series(1, 3) n;
INSERT INTO task_run_state (id, type, name, task_run_id) SELECT md5('state' || id)::uuid, 'COMPLETED', 'Completed', id FROM task_run;
UPDATE task_run SET state_id = task_run_state.id FROM task_run_state WHERE task_run_id = task_run.id;
INSERT INTO log (name, level, flow_run_id, message, "timestamp") SELECT 'prefect.flow_runs', 20, id, 'made up', now() FROM flow_run;
INSERT INTO artifact (id, key, type, data, flow_run_id) SELECT md5('artifact' || id)::uuid, 'report', 'markdown', '"made up"', id FROM flow_run;
INSERT INTO artifact_collection (key, latest_id) SELECT 'report', id FROM artifact LIMIT 1;
INSERT INTO block_type (id, name, slug) SELECT md5('type' || n)::uuid, 'Type ' || n, 'type-' || n FROM generate_series(1, 5) n;
INSERT INTO block_schema (id, checksum, block_type_id) SELECT md5('schema' || id)::uuid, 'sha256:' || slug, id FROM block_type;
INSERT INTO block_document (id, name, block_schema_id, block_type_id, block_type_name)
  SELECT md5('document' || type.id)::uuid, 'document', schema.id, type.id, type.name
  FROM block_type type JOIN block_schema schema ON schema.block_type_id = type.id;
INSERT INTO block_document_reference (name, parent_block_document_id, reference_block_document_id)
  VALUES ('part', md5('document' || md5('type1')::uuid)::uuid, md5('document' || md5('type2')::uuid)::uuid),
         ('itself', md5('document' || md5('type1')::uuid)::uuid, md5('document' || md5('type1')::uuid)::uuid);
INSERT INTO concurrency_limit (tag, concurrency_limit) SELECT 'tag-' || n, 5 FROM generate_series(1, 10) n;
INSERT INTO concurrency_limit_v2 (active, name, "limit", active_slots, denied_slots, slot_decay_per_second, avg_slot_occupancy_seconds)
  SELECT true, 'limit-' || n, 5, 0, 0, 0, 2 FROM generate_series(1, 10) n;
INSERT INTO variable (name, value) SELECT 'variable_' || n, 'value ' || n FROM generate_series(1, 20) n;
INSERT INTO configuration (key, value) VALUES ('telemetry', '{"enabled": false}');
INSERT INTO saved_search (name) VALUES ('late runs');
INSERT INTO flow_run_notification_policy (state_names, block_document_id) SELECT '["Failed"]', id FROM block_document;
