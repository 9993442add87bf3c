"""Why a verdict differs from the truth: each reason was checked by hand against the code of the revision.

The key is the project, the revision, and the witness where the reason is about one alone ("predicted", "verdict").
"""

WIDER = (
    "the code widens the column. The statement does not say the old type, so the prediction cannot know it; the rehearsal decides"
)
SAME = "the code sets the type that the column has. The statement does not say so; the rehearsal decides"
ONLY_NULL = "the UPDATE writes only where the column IS NULL, so no value can be overwritten; the rehearsal decides"
NOT_HERE = "no row here is the one that it {does}. On a database that has it, it is a loss: {what}"

KNOWN = {
    ("mlflow", "181f10493468", "predicted"): f"{SAME} (double precision, as `Float(precision=53)`)",
    ("mlflow", "7ac759974ad8", "predicted"): f"{WIDER} (250 to 5,000)",
    ("mlflow", "cfd24bdc0731", "predicted"): f"{SAME} (varchar, under a new CHECK with one more label)",
    ("mlflow", "39d1c3be5f05", "predicted"): f"{SAME} (boolean)",
    ("mlflow", "cc1f77228345", "predicted"): f"{WIDER} (250 to 500)",
    ("mlflow", "2d6e25af4d3e", "predicted"): f"{WIDER} (500 to 8,000)",
    ("mlflow", "f5a4f2784254", "predicted"): f"{WIDER} (5,000 to 8,000)",
    ("mlflow", "bda7b8c39065", "predicted"): f"{WIDER} (varchar(5000) to text)",
    ("mlflow", "17e22815139b", "predicted"): f"{WIDER} (varchar(5000) to text)",
    ("airflow", "2e541a1dcfed", "predicted"): f"{SAME} (double precision; it was an integer on MySQL alone)",
    ("airflow", "bdaa763e6c56", "predicted"): f"{SAME} (bytea)",
    ("airflow", "0e2a74e0fc9f", "predicted"): "timestamp to timestamptz in the session's time zone: each value can be read back; the rehearsal decides",
    ("airflow", "fe461863935f", "predicted"): f"{WIDER} (500 to 5,000)",
    ("airflow", "03afc6b6f902", "predicted"): f"{WIDER} (100 to 250)",
    ("airflow", "b25a55525161", "predicted"): f"{WIDER} (50 to 256)",
    ("airflow", "8f966b9c467a", "predicted"): ONLY_NULL,
    ("airflow", "64a7d6477aae", "predicted"): f"{WIDER} (varchar(5000) to text)",
    ("airflow", "449b4072c2da", "predicted"): f"{WIDER} (varchar(5000) to text)",
    ("airflow", "8646922c8a04", "predicted"): ONLY_NULL,
    ("airflow", "2e42bb497a22", "predicted"): f"{SAME} (timestamptz, beside a rename)",
    ("airflow", "90d1635d7b86", "predicted"): f"{WIDER} (50 to 256)",
    ("airflow", "e9304a3141f0", "predicted"): f"{SAME} (varchar(512) and timestamptz, beside NOT NULL)",
    ("airflow", "30867afad44a", "predicted"): f"{SAME} (integer, beside a rename)",
    ("airflow", "5e3ec427fdd3", "predicted"): f"{WIDER} (64 to 256)",
    ("airflow", "b1b348e02d07", "predicted"): NOT_HERE.format(does="changes", what="`UPDATE dag SET default_view = 'grid'` where it was 'tree'"),
    ("airflow", "44b7034f6bdc", "predicted"): f"{SAME} (text, timestamptz, varchar(32))",
    ("airflow", "1949afb29106", "predicted"): "json to text, and each row is written again as it was: without a key nothing is encrypted; the rehearsal decides",
    ("airflow", "98ae134e6fff", "predicted"): f"{WIDER} (64 to 256, 256 to 512)",
    ("airflow", "bd5dfbe21f88", "predicted"): f"{WIDER} (varchar to text)",
    ("airflow", "d75389605139", "predicted"): f"{WIDER} (30 to 60)",
    ("prefect", "14dc68cc5853", "predicted"): f"{ONLY_NULL} (through a CTE that selects the rows)",
    ("prefect", "e905fd199258"): NOT_HERE.format(does="deletes", what="`DELETE FROM block_type WHERE name = 'Debug Print Notification'`"),
    ("prefect", "bb4dc90d3e29"): NOT_HERE.format(does="deletes", what="block types by name: `DELETE FROM block_type WHERE name = ...`"),
    ("prefect", "2882cd2df465", "predicted"): f"{ONLY_NULL} (in a sub-select over the same table)",
    ("prefect", "15f5083c16bd", "predicted"): (
        "it copies `artifact` over `artifact_collection`, whose columns came just before. The synthetic values of both are alike, and in "
        "use they are NULL: nothing is overwritten here; the rehearsal decides"
    ),
    ("prefect", "4e9a6f93eb6c", "predicted"): ONLY_NULL,
}  # fmt: skip
