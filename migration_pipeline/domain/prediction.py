"""What the SQL of a plan predicts: every statement read in order, objects that the plan itself made left out.

It fails closed: a statement that no rule knows, a text that cannot be parsed and a call of an unknown function are findings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from migration_pipeline.domain import effects, plpgsql, redaction, rules, sql
from migration_pipeline.domain.created import Created, Origin
from migration_pipeline.domain.finders import Hit
from migration_pipeline.domain.rules import Grade, Rule
from migration_pipeline.domain.sql import Name
from migration_pipeline.domain.tokens import pg


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One hit of a rule."""

    rule: str  #: its code; `rules.BY_CODE` has the rest
    name: str
    grade: Grade
    #: Lost whatever the rows are: a dropped table, a DELETE. False: only running tells.
    certain: bool
    revision: str | None  #: None: sent by `env.py`
    statement: str  #: on one line, literals that are not the revision's own left out
    objects: tuple[str, ...]


def predict(
    statements: Sequence[effects.Statement],
    *,
    version_table: str,
    sources: Mapping[str, str] | None = None,
) -> tuple[Finding, ...]:
    """Return what the statements of a plan do to data, protection and service, in the order of the plan.

    `sources` holds the text of each revision's file: a literal is shown only when it stands there.
    """
    schema, _, table = version_table.rpartition(".")
    created = Created()
    found: list[Finding] = []
    for statement in statements:
        source = (sources or {}).get(statement.revision or "", "")
        parsed = sql.parse(statement.sql, statement.has_parameters)
        reader = _Reader(created, Name(schema or None, table))
        for rule, text, hits in reader.read(parsed):
            found.append(_finding(rule, text, hits, revision=statement.revision, source=source))
    return tuple(found)


def _finding(rule: Rule, text: str, hits: Sequence[Hit], *, revision: str | None, source: str) -> Finding:
    return Finding(
        rule=rule.code,
        name=rule.name,
        grade=rule.grade,
        certain=any(hit.certain for hit in hits),
        revision=revision,
        statement=redaction.one_line(redaction.statement(text, source)),
        objects=tuple(dict.fromkeys(map(str, hits))),
    )


Found = Iterator[tuple[Rule, str, list[Hit]]]


class _Reader:
    """Reads one text of the plan, and what its DO blocks run."""

    def __init__(self, created: Created, version_table: Name) -> None:
        self.created = created
        self.version_table = version_table

    def read(self, parsed: sql.Parsed, *, in_block: bool = False) -> Found:
        if parsed.tree is None:
            yield rules.UNPARSABLE, parsed.sql, [_note("the text cannot be parsed")]
        for piece in parsed.pieces:
            for node in piece.nodes:
                yield from self._node(node, piece.text, in_block=in_block)

    def _node(self, node: sql.Node, text: str, *, in_block: bool) -> Found:
        kind = sql.kind(node)
        if kind == "DoStmt":
            yield from self._block(node, text)
        for rule, find in RULES_BY_NODE.get(kind, ()):
            hits = [kept for hit in find(node) if (kept := self._kept(hit, rule)) is not None]
            if hits:
                yield rule, text, hits
        strange = _strange(node, kind)
        if strange:
            yield rules.STRANGE, text, [_note(strange)]
        self.created.note(node, kind, surely=not in_block)

    def _block(self, node: sql.Node, text: str) -> Found:
        block = plpgsql.body(node)
        if block.opaque:
            yield rules.OPAQUE, text, [_note(sentence) for sentence in block.opaque]
        for inner in block.statements:
            if inner.tree is not None:  # the others are in `opaque`
                yield from self.read(inner, in_block=True)
        for built in block.built:
            if built.tree is not None:
                yield from self.read(built, in_block=True)

    def _kept(self, hit: Hit, rule: Rule) -> Hit | None:
        """Return the hit as far as it stands: nothing that the plan made is lost by losing it."""
        if hit.kind == "other":
            return hit
        if rule.is_dml and self._is_version_table(hit.name):
            return None
        match self.created.origin(hit):
            case Origin.PLAN:
                return None
            case Origin.PERHAPS:
                return replace(hit, certain=False)
            case _:
                return hit

    def _is_version_table(self, name: Name) -> bool:
        same_schema = name.schema == self.version_table.schema or None in {name.schema, self.version_table.schema}
        return name.name == self.version_table.name and same_schema


def _note(sentence: str) -> Hit:
    return Hit(name=Name(None, sentence), kind="other")


RULES_BY_NODE = {
    kind: tuple((rule, rule.finds[kind]) for rule in rules.RULES if kind in rule.finds)
    for kind in {kind for rule in rules.RULES for kind in rule.finds}
}

#: Statements that leave data as it is, or whose loss a rule finds. Everything else is strange.
UNDERSTOOD = frozenset(
    """AlterCollationStmt AlterDefaultPrivilegesStmt AlterDomainStmt AlterEnumStmt AlterEventTrigStmt AlterExtensionContentsStmt
    AlterFunctionStmt AlterObjectDependsStmt AlterObjectSchemaStmt AlterOpFamilyStmt AlterOperatorStmt AlterOwnerStmt
    AlterPolicyStmt AlterPublicationStmt AlterSeqStmt AlterStatsStmt AlterTSConfigurationStmt AlterTSDictionaryStmt
    AlterTableMoveAllStmt AlterTableStmt AlterTypeStmt CallStmt CheckPointStmt ClosePortalStmt ClusterStmt CommentStmt
    CompositeTypeStmt ConstraintsSetStmt CopyStmt CreateAmStmt CreateCastStmt CreateConversionStmt CreateDomainStmt
    CreateEnumStmt CreateEventTrigStmt CreateExtensionStmt CreateFdwStmt CreateForeignServerStmt CreateForeignTableStmt
    CreateFunctionStmt CreateOpClassStmt CreateOpFamilyStmt CreatePLangStmt CreatePolicyStmt CreatePublicationStmt
    CreateRangeStmt CreateRoleStmt CreateSchemaStmt CreateSeqStmt CreateStatsStmt CreateStmt CreateTableAsStmt
    CreateTransformStmt CreateTrigStmt CreateUserMappingStmt DeallocateStmt DeclareCursorStmt DefineStmt DeleteStmt DiscardStmt
    DoStmt DropOwnedStmt DropStmt ExplainStmt FetchStmt GrantRoleStmt GrantStmt IndexStmt InsertStmt ListenStmt LockStmt
    MergeStmt NotifyStmt PrepareStmt ReassignOwnedStmt RefreshMatViewStmt ReindexStmt RenameStmt ReplicaIdentityStmt RuleStmt
    SecLabelStmt SelectStmt TransactionStmt TruncateStmt UnlistenStmt UpdateStmt VacuumStmt VariableSetStmt VariableShowStmt
    ViewStmt""".split()  # noqa: SIM905 - a list to read, not to scan
)

_HARMLESS_COMMANDS = """AddColumn AddConstraint AddIdentity AddIndexConstraint AddInherit AddOf AlterColumnGenericOptions
    AlterColumnType AlterConstraint AttachPartition ChangeOwner ClusterOn ColumnDefault DetachPartition DetachPartitionFinalize
    DisableRowSecurity DisableRule DisableTrig DisableTrigAll DisableTrigUser DropCluster DropColumn DropConstraint
    DropExpression DropIdentity DropInherit DropNotNull DropOf EnableAlwaysRule EnableAlwaysTrig EnableReplicaRule
    EnableReplicaTrig EnableRowSecurity EnableRule EnableTrig EnableTrigAll EnableTrigUser ForceRowSecurity GenericOptions
    NoForceRowSecurity ReplicaIdentity ResetOptions ResetRelOptions SetAccessMethod SetCompression SetExpression SetIdentity
    SetLogged SetNotNull SetOptions SetRelOptions SetStatistics SetStorage SetTableSpace SetUnLogged ValidateConstraint"""
UNDERSTOOD_COMMANDS = frozenset(getattr(pg, f"AT_{name}") for name in _HARMLESS_COMMANDS.split())


def _strange(node: sql.Node, kind: str) -> str:
    """Return what no rule knows about a statement, or ""."""
    if kind == "AlterTableStmt":
        unknown = [item.alter_table_cmd.subtype for item in node.cmds if item.alter_table_cmd.subtype not in UNDERSTOOD_COMMANDS]
        return f"ALTER TABLE command {unknown[0]}" if unknown else ""
    return "" if kind == "FuncCall" or kind in UNDERSTOOD else kind.removesuffix("Stmt")
