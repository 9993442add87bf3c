-- Airflow 2.1.0: made-up rows.
INSERT INTO dag (dag_id, is_paused, is_subdag, is_active, last_parsed_time, fileloc, owners, schedule_interval, concurrency, has_task_concurrency_limits)
  SELECT 'dag_' || n, n % 5 = 0, false, true, now(), '/dags/dag_' || n || '.py', 'airflow', '"@daily"', 16, false FROM generate_series(1, 40) n;
INSERT INTO dag_tag (name, dag_id) SELECT 'nightly', dag_id FROM dag;
INSERT INTO dag_code (fileloc_hash, fileloc, source_code, last_updated)
  SELECT n, '/dags/dag_' || n || '.py', '# made up', now() FROM generate_series(1, 40) n;
INSERT INTO serialized_dag (dag_id, fileloc, fileloc_hash, data, last_updated, dag_hash)
  SELECT dag_id, fileloc, row_number() OVER (), '{"dag": {}}', now(), md5(dag_id) FROM dag;
INSERT INTO dag_run (dag_id, execution_date, state, run_id, external_trigger, start_date, end_date, run_type)
  SELECT dag_id, day, 'success', 'scheduled__' || day, false, day, day + interval '1 hour', 'scheduled'
  FROM dag, generate_series(timestamptz '2021-01-01', '2021-02-19', '1 day') day;
INSERT INTO task_instance (task_id, dag_id, execution_date, start_date, end_date, duration, state, try_number, hostname, unixname, pool, queue,
                           priority_weight, operator, max_tries, pool_slots)
  SELECT 'task_' || n, dag_id, execution_date, start_date, end_date, 3600, 'success', 1, 'worker', 'airflow', 'default_pool', 'default',
         1, 'BashOperator', 2, 1 FROM dag_run, generate_series(1, 5) n;
INSERT INTO task_reschedule (task_id, dag_id, execution_date, try_number, start_date, end_date, duration, reschedule_date)
  SELECT task_id, dag_id, execution_date, 1, start_date, end_date, 3600, end_date FROM task_instance WHERE task_id = 'task_1';
INSERT INTO task_fail (task_id, dag_id, execution_date, start_date, end_date, duration)
  SELECT task_id, dag_id, execution_date, start_date, end_date, 3600 FROM task_instance WHERE task_id = 'task_2';
INSERT INTO rendered_task_instance_fields (dag_id, task_id, execution_date, rendered_fields)
  SELECT dag_id, task_id, execution_date, '{"bash_command": "true"}' FROM task_instance WHERE task_id = 'task_3';
INSERT INTO xcom (key, value, "timestamp", execution_date, task_id, dag_id)
  SELECT 'return_value', '\x2231', now(), execution_date, task_id, dag_id FROM task_instance WHERE task_id = 'task_4';
INSERT INTO job (dag_id, state, job_type, start_date, end_date, latest_heartbeat, executor_class, hostname, unixname)
  SELECT dag_id, 'success', 'LocalTaskJob', start_date, end_date, end_date, 'LocalExecutor', 'worker', 'airflow' FROM dag_run;
INSERT INTO log (dttm, dag_id, task_id, event, execution_date, owner)
  SELECT start_date, dag_id, task_id, 'success', execution_date, 'airflow' FROM task_instance;
INSERT INTO sla_miss (task_id, dag_id, execution_date, email_sent, "timestamp", notification_sent)
  SELECT task_id, dag_id, execution_date, true, now(), true FROM task_instance WHERE task_id = 'task_5';
INSERT INTO slot_pool (pool, slots, description) VALUES ('default_pool', 128, 'Default pool'), ('nightly', 4, '');
INSERT INTO variable (key, val, is_encrypted) SELECT 'variable_' || n, 'value ' || n, false FROM generate_series(1, 20) n;
INSERT INTO connection (conn_id, conn_type, host, login, password, port, is_encrypted, is_extra_encrypted)
  SELECT 'connection_' || n, 'postgres', 'db.invalid', 'reader', 'made up', 5432, false, false FROM generate_series(1, 20) n;
INSERT INTO import_error ("timestamp", filename, stacktrace) SELECT now(), '/dags/broken_' || n || '.py', 'made up' FROM generate_series(1, 5) n;
INSERT INTO ab_user (id, first_name, last_name, username, password, active, email)
  SELECT n, 'First', 'Last', 'user_' || n, 'made up', true, 'user_' || n || '@example.invalid' FROM generate_series(1001, 1010) n;
INSERT INTO ab_role (id, name) VALUES (1001, 'Made up');
INSERT INTO ab_user_role (id, user_id, role_id) SELECT id, id, 1001 FROM ab_user;
