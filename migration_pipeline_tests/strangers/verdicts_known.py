"""Why a verdict differs from the truth: each reason was checked by hand against the code of the revision.

The key is the project, the revision, and the witness where the reason is about one alone ("predicted", "verdict").
"""

LOCAL_TIME = "timestamp to timestamptz in the session's time zone: each value can be read back; the rehearsal decides"
ONLY_NULL = "the UPDATE writes only where the column IS NULL, so no value can be overwritten; the rehearsal decides"
NOT_HERE = "no row here is the one that it {does}. On a database that has it, it is a loss: {what}"

KNOWN = {
    ("mlflow", "cfd24bdc0731", "predicted"): "varchar(20) to varchar(9), under a new CHECK whose labels all fit; the rehearsal decides",
    ("airflow", "0e2a74e0fc9f", "predicted"): LOCAL_TIME,
    ("airflow", "b1b348e02d07", "predicted"): NOT_HERE.format(does="changes", what="`UPDATE dag SET default_view = 'grid'` where it was 'tree'"),
    ("airflow", "44b7034f6bdc", "predicted"): LOCAL_TIME,
    ("airflow", "1949afb29106", "predicted"): "json to text, and each row is written again as it was: without a key nothing is encrypted; the rehearsal decides",
    ("prefect", "14dc68cc5853", "predicted"): f"{ONLY_NULL} (through a CTE that selects the rows)",
    ("prefect", "e905fd199258"): NOT_HERE.format(does="deletes", what="`DELETE FROM block_type WHERE name = 'Debug Print Notification'`"),
    ("prefect", "bb4dc90d3e29"): NOT_HERE.format(does="deletes", what="block types by name: `DELETE FROM block_type WHERE name = ...`"),
    ("prefect", "2882cd2df465", "predicted"): f"{ONLY_NULL} (in a sub-select over the same table)",
    ("prefect", "15f5083c16bd", "predicted"): (
        "it copies `artifact` over `artifact_collection`, whose columns came just before. The synthetic values of both are alike, and in "
        "use they are NULL: nothing is overwritten here; the rehearsal decides"
    ),
}  # fmt: skip
