"""Add the ward, leave the transaction, then require an allergy."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op
from sqlalchemy import Column, Integer, Text
from sqlalchemy.orm import Session, declarative_base

revision = "0002"
down_revision = "0001"


Base = declarative_base()


class Patient(Base):
    __tablename__ = "patients"
    id = Column(Integer, primary_key=True)
    name = Column(Text, nullable=False)
    allergy = Column(Text)


def upgrade():
    op.execute("ALTER TABLE patients ADD COLUMN ward text")
    session = Session(bind=op.get_bind())
    session.add(Patient(name="added by the session", allergy="none known"))
    session.commit()
    op.execute("ALTER TABLE patients ALTER COLUMN allergy SET NOT NULL")


def downgrade():
    op.execute("ALTER TABLE patients ALTER COLUMN allergy DROP NOT NULL")
    op.execute("ALTER TABLE patients DROP COLUMN ward")
