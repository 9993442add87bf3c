"""The rules, as data: what each sees, what it means, what to do instead, and the two examples that are its test."""

from collections.abc import Mapping

from migration_pipeline.domain import finders
from migration_pipeline.domain.finders import Finder
from migration_pipeline.domain.rule import Grade, Rule
from migration_pipeline.domain.rules_data import DATA_RULES
from migration_pipeline.domain.rules_protection import PROTECTION_RULES
from migration_pipeline.domain.rules_service import SERVICE_RULES

__all__ = ["BY_CODE", "CALL", "DATA_RULES", "OPAQUE", "PROTECTION_RULES", "RULES", "SERVICE_RULES", "STRANGE", "UNPARSABLE",
           "Grade", "Rule"]  # fmt: skip


def _unknown(code: str, name: str, sees: str, instead: str, *, bad: str, good: str,
             finds: Mapping[str, Finder] | None = None) -> Rule:  # fmt: skip
    return Rule(code=code, name=name, grade=Grade.UNKNOWN, sees=sees, effect="what it does is not known", instead=instead,
                bad=bad, good=good, finds=finds or {})  # fmt: skip


UNPARSABLE = _unknown("U01", "text not understood", "a text that PostgreSQL 18's parser refuses", "write plain SQL",
                      bad="FROBNICATE patients", good="SELECT 1")  # fmt: skip
OPAQUE = _unknown("U02", "block not understood", "a DO block that runs texts it builds, or is not plain PL/pgSQL",
                  "write the statements out", bad="DO $$ BEGIN EXECUTE 'TABLE ' || current_setting('x'); END $$",
                  good="DO $$ BEGIN EXECUTE 'SELECT 1'; END $$")  # fmt: skip
CALL = _unknown("U03", "unknown function called", "a call of a function that is not PostgreSQL's own",
                "write its statements into the revision", bad="SELECT tidy_up()", good="SELECT now()",
                finds={"FuncCall": finders.calls_unknown})  # fmt: skip
STRANGE = _unknown("U04", "statement without a rule", "a statement that no rule knows", "use a statement that a rule knows",
                   bad="ALTER EXTENSION hstore UPDATE", good="COMMENT ON TABLE patients IS 'people'")  # fmt: skip

RULES = (*DATA_RULES, *PROTECTION_RULES, *SERVICE_RULES, UNPARSABLE, OPAQUE, CALL, STRANGE)
BY_CODE = {rule.code: rule for rule in RULES}
