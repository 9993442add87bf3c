"""Cases in Alembic's Python: each function is the `upgrade()` of a revision, its docstring says why it is here."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql


def op_drop_table():
    """The table goes with its rows."""
    op.drop_table("archive")


def op_drop_table_in_schema():
    """The namesake in another schema goes."""
    op.drop_table("codes", schema="billing")


def op_drop_created_table():
    """The plan made it."""
    op.create_table("scratch", sa.Column("id", sa.Integer, primary_key=True), sa.Column("x", sa.String(10)))
    op.drop_table("scratch")


def op_create_table():
    """Something new, with a cascade that does nothing yet."""
    op.create_table(
        "beds",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("ward", sa.Text, sa.ForeignKey("wards.code", ondelete="CASCADE")),
        sa.Column("state", sa.Enum("free", "taken", name="bed_state"), server_default="free"),
    )


def op_drop_column():
    """Its values go."""
    op.drop_column("patients", "allergy")


def op_drop_column_of_nulls():
    """It held no value, but could have."""
    op.drop_column("patients", "remark")


def op_add_column():
    """Something new."""
    op.add_column("patients", sa.Column("fresh", sa.Integer, server_default=sa.text("7"), nullable=False))


def op_replace_column():
    """The values are copied to a new column; the old one goes all the same."""
    op.add_column("patients", sa.Column("reaction", sa.Text))
    op.execute("UPDATE patients SET reaction = allergy")
    op.drop_column("patients", "allergy")


def op_rename_column():
    """A name is no data."""
    op.alter_column("patients", "allergy", new_column_name="reaction")


def op_rename_table():
    """A name is no data."""
    op.rename_table("archive", "old_archive")


def op_type_wider():
    """It has room for more."""
    op.alter_column("patients", "name", existing_type=sa.String(20), type_=sa.String(60), existing_nullable=False)


def op_type_same():
    """It is of that type; autogenerate writes such."""
    op.alter_column("patients", "allergy", existing_type=sa.Text(), type_=sa.Text())


def op_type_to_bigint():
    """A wider number."""
    op.alter_column("patients", "visits_made", existing_type=sa.Integer(), type_=sa.BigInteger())


def op_type_to_integer():
    """The decimals go."""
    op.alter_column("patients", "weight", existing_type=sa.Numeric(8, 2), type_=sa.Integer())


def op_type_to_date():
    """The time of day goes."""
    op.alter_column("patients", "seen_at", type_=sa.Date())


def op_type_cut():
    """USING cuts the values."""
    op.alter_column("patients", "allergy", type_=sa.String(3), postgresql_using="left(allergy, 3)")


def op_json_to_jsonb():
    """Of two values of a key one goes."""
    op.alter_column("patients", "notes", type_=postgresql.JSONB(), postgresql_using="notes::jsonb")


def op_nullable():
    """Rows keep their values."""
    op.alter_column("patients", "name", nullable=True)


def op_not_null_filled_first():
    """Only NULLs are filled, then there may be none."""
    op.execute("UPDATE patients SET remark = '' WHERE remark IS NULL")
    op.alter_column("patients", "remark", nullable=False)


def op_server_default():
    """Rows keep their values."""
    op.alter_column("invoices", "status", server_default="new")


def op_index_and_constraint():
    """Something new, and an index less."""
    op.drop_index("patients_name", table_name="patients")
    op.create_index("patients_name_ward", "patients", ["name", "ward"])
    op.create_unique_constraint("codes_meaning", "codes", ["meaning"])
    op.drop_constraint("visits_patient_fkey", "visits", type_="foreignkey")


def op_batch():
    """On PostgreSQL a batch is plain ALTER TABLE: a column goes."""
    with op.batch_alter_table("patients") as batch:
        batch.add_column(sa.Column("fresh", sa.Text))
        batch.drop_column("allergy")


def op_batch_harmless():
    """On PostgreSQL a batch is plain ALTER TABLE: a column more."""
    with op.batch_alter_table("patients") as batch:
        batch.add_column(sa.Column("fresh", sa.Text))
        batch.alter_column("name", type_=sa.String(50))


def op_batch_recreates():
    """The rows are copied to a new table; the old one goes all the same."""
    with op.batch_alter_table("archive", recreate="always") as batch:
        batch.add_column(sa.Column("fresh", sa.Text))


def op_enum_type_dropped():
    """The type goes once its column is a text."""
    op.alter_column("patients", "mood", type_=sa.Text(), postgresql_using="mood::text")
    postgresql.ENUM(name="mood").drop(op.get_bind())


def op_enum_type_dropped_with_checkfirst():
    """There is no such type."""
    sa.Enum(name="no_such_enum").drop(op.get_bind(), checkfirst=True)


def op_enum_value_added():
    """A label more."""
    op.execute("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'glad'")


def op_bulk_insert():
    """Rows more."""
    table = sa.table("codes", sa.column("id", sa.Integer), sa.column("meaning", sa.Text))
    op.bulk_insert(table, [{"id": 70, "meaning": "DROP TABLE patients"}, {"id": 71, "meaning": "b"}])


def op_core_delete():
    """A DELETE of SQLAlchemy's."""
    table = sa.table("invoices", sa.column("status"))
    op.execute(table.delete().where(table.c.status == "paid"))


def op_core_update():
    """An UPDATE of SQLAlchemy's."""
    table = sa.table("codes", sa.column("id"), sa.column("meaning"))
    op.execute(table.update().where(table.c.id == 1).values(meaning="x"))


def op_core_update_new_column():
    """The plan made the column that it fills."""
    op.add_column("codes", sa.Column("note", sa.Text))
    table = sa.table("codes", sa.column("id"), sa.column("note"))
    op.execute(table.update().values(note="x"))


def op_rows_one_by_one():
    """It reads the rows and overwrites each."""
    bind = op.get_bind()
    for number, meaning in bind.execute(sa.text("SELECT id, meaning FROM codes WHERE meaning IS NOT NULL")).fetchall():
        bind.execute(sa.text("UPDATE codes SET meaning = :m WHERE id = :i"), {"m": meaning[:1], "i": number})


def op_rows_one_by_one_same():
    """It reads the rows and writes to each what it holds."""
    bind = op.get_bind()
    for number, meaning in bind.execute(sa.text("SELECT id, meaning FROM codes")).fetchall():
        bind.execute(sa.text("UPDATE codes SET meaning = :m WHERE id = :i"), {"m": meaning, "i": number})


def op_delete_where_rows_say():
    """The DELETE is sent only for rows that are there."""
    bind = op.get_bind()
    for (number,) in bind.execute(sa.text("SELECT id FROM archive")).fetchall():
        bind.execute(sa.text("DELETE FROM archive WHERE id = :i"), {"i": number})


def op_delete_where_no_row_says():
    """The DELETE would be sent only for rows that are not there."""
    bind = op.get_bind()
    for (number,) in bind.execute(sa.text("SELECT id FROM empty_table")).fetchall():
        bind.execute(sa.text("DELETE FROM archive WHERE id = :i"), {"i": number})


def op_inspects():
    """What it drops depends on what is there: the column is."""
    columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("archive")}
    if "what" in columns:
        op.drop_column("archive", "what")


def op_inspects_harmless():
    """What it drops depends on what is there: the table is not."""
    if sa.inspect(op.get_bind()).has_table("no_such_table"):
        op.drop_table("no_such_table")


def op_on_conflict():
    """A row of before is overwritten."""
    table = sa.table("codes", sa.column("id"), sa.column("meaning"))
    insert = postgresql.insert(table).values(id=1, meaning="uno")
    op.execute(insert.on_conflict_do_update(index_elements=["id"], set_={"meaning": "uno"}))


def op_on_conflict_nothing():
    """The row of before stays."""
    table = sa.table("codes", sa.column("id"), sa.column("meaning"))
    op.execute(postgresql.insert(table).values(id=1, meaning="uno").on_conflict_do_nothing())


def op_orm_session():
    """An ORM session deletes a row."""
    from sqlalchemy.orm import Session, declarative_base

    base = declarative_base()
    code = type("Code", (base,), {"__tablename__": "codes", "id": sa.Column(sa.Integer, primary_key=True)})
    session = Session(bind=op.get_bind())
    session.delete(session.get(code, 3))
    session.flush()


def op_literal_text():
    """A text with a colon, a percent sign and a DROP in it."""
    op.execute("INSERT INTO archive VALUES (77, '100% \\:x; DROP TABLE patients')")


def op_computed_column():
    """Something new, computed from what is there."""
    op.add_column("invoices", sa.Column("double", sa.Numeric, sa.Computed("amount * 2", persisted=True)))


def op_comment():
    """Words about a column that is dropped nowhere."""
    op.create_table_comment("patients", "DROP TABLE patients")
    op.alter_column("patients", "name", comment="never DELETE FROM patients")


def op_truncate():
    """Every row goes."""
    op.execute(sa.text("TRUNCATE codes"))


def op_autogenerated_drop_and_add():
    """What autogenerate makes of a renamed column."""
    op.add_column("patients", sa.Column("reaction", sa.Text(), nullable=True))
    op.drop_column("patients", "allergy")


def op_drop_sequence():
    """Where it had counted to goes."""
    op.execute(sa.schema.DropSequence(sa.Sequence("chart_no")))


def op_foreign_key_renamed():
    """One constraint for another."""
    op.drop_constraint("invoices_patient_fkey", "invoices")
    op.create_foreign_key("fk_invoices_patient", "invoices", "patients", ["patient"], ["id"])
