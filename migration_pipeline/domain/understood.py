"""The statements that the rules know. Every other one is strange: nobody knows what it does."""

from migration_pipeline.domain import sql
from migration_pipeline.domain.tokens import pg

#: Statements that leave data as it is, or whose loss a rule finds. Everything else is strange.
UNDERSTOOD = frozenset(
    """AlterCollationStmt AlterDatabaseSetStmt AlterDefaultPrivilegesStmt AlterDomainStmt AlterEnumStmt AlterEventTrigStmt
    AlterExtensionContentsStmt AlterFunctionStmt AlterObjectDependsStmt AlterObjectSchemaStmt AlterOpFamilyStmt
    AlterOperatorStmt AlterOwnerStmt AlterPolicyStmt AlterPublicationStmt AlterRoleSetStmt AlterRoleStmt AlterSeqStmt
    AlterStatsStmt AlterTSConfigurationStmt AlterTSDictionaryStmt AlterTableMoveAllStmt AlterTableStmt AlterTypeStmt
    CallStmt CheckPointStmt ClosePortalStmt ClusterStmt CommentStmt CompositeTypeStmt ConstraintsSetStmt CopyStmt
    CreateAmStmt CreateCastStmt CreateConversionStmt CreateDomainStmt CreateEnumStmt CreateEventTrigStmt
    CreateExtensionStmt CreateFdwStmt CreateForeignServerStmt CreateForeignTableStmt CreateFunctionStmt CreateOpClassStmt
    CreateOpFamilyStmt CreatePLangStmt CreatePolicyStmt CreatePublicationStmt CreateRangeStmt CreateRoleStmt
    CreateSchemaStmt CreateSeqStmt CreateStatsStmt CreateStmt CreateTableAsStmt CreateTransformStmt CreateTrigStmt
    CreateUserMappingStmt DeallocateStmt DeclareCursorStmt DefineStmt DeleteStmt DiscardStmt DoStmt DropOwnedStmt
    DropRoleStmt DropStmt ExplainStmt FetchStmt GrantRoleStmt GrantStmt IndexStmt InsertStmt ListenStmt LockStmt MergeStmt
    NotifyStmt PrepareStmt ReassignOwnedStmt RefreshMatViewStmt ReindexStmt RenameStmt ReplicaIdentityStmt RuleStmt
    SecLabelStmt SelectStmt TransactionStmt TruncateStmt UnlistenStmt UpdateStmt VacuumStmt VariableSetStmt
    VariableShowStmt ViewStmt""".split()  # noqa: SIM905 - a list to read, not to scan
)

_HARMLESS_COMMANDS = """AddColumn AddConstraint AddIdentity AddIndexConstraint AddInherit AddOf AlterColumnGenericOptions
    AlterColumnType AlterConstraint AttachPartition ChangeOwner ClusterOn ColumnDefault DetachPartition DetachPartitionFinalize
    DisableRowSecurity DisableRule DisableTrig DisableTrigAll DisableTrigUser DropCluster DropColumn DropConstraint
    DropExpression DropIdentity DropInherit DropNotNull DropOf EnableAlwaysRule EnableAlwaysTrig EnableReplicaRule
    EnableReplicaTrig EnableRowSecurity EnableRule EnableTrig EnableTrigAll EnableTrigUser ForceRowSecurity GenericOptions
    NoForceRowSecurity ReplicaIdentity ResetOptions ResetRelOptions SetAccessMethod SetCompression SetExpression SetIdentity
    SetLogged SetNotNull SetOptions SetRelOptions SetStatistics SetStorage SetTableSpace SetUnLogged ValidateConstraint"""
UNDERSTOOD_COMMANDS = frozenset(getattr(pg, f"AT_{name}") for name in _HARMLESS_COMMANDS.split())


def strange(node: sql.Node, kind: str) -> str:
    """Return what no rule knows about a statement, or ""."""
    if kind == "AlterTableStmt":
        unknown = [item.alter_table_cmd.subtype for item in node.cmds if item.alter_table_cmd.subtype not in UNDERSTOOD_COMMANDS]
        return f"ALTER TABLE command {unknown[0]}" if unknown else ""
    return "" if kind == "FuncCall" or kind in UNDERSTOOD else kind.removesuffix("Stmt")
