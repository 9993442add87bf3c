"""Create results."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "lab1"
down_revision = None
branch_labels = ("laboratory",)


def upgrade():
    op.execute("CREATE TABLE results (id serial PRIMARY KEY, value numeric)")


def downgrade():
    op.execute("DROP TABLE results")
