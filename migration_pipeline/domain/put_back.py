"""What a plan puts back that it took away before. When in doubt it is not put back."""

from migration_pipeline.domain import sql
from migration_pipeline.domain.created import makes_names_doubtful
from migration_pipeline.domain.finders import Hit, commands
from migration_pipeline.domain.sql import Name
from migration_pipeline.domain.tokens import pg

#: A command of ALTER TABLE → the one that makes it as if nothing had been. Not ENABLE TRIGGER: what was written before it,
#: the trigger never saw.
UNDONE_BY = {
    pg.AT_DropNotNull: pg.AT_SetNotNull,
    pg.AT_DisableRowSecurity: pg.AT_EnableRowSecurity,
    pg.AT_NoForceRowSecurity: pg.AT_ForceRowSecurity,
}
UNDOING = frozenset(UNDONE_BY.values())

Key = tuple[str | int, Name, str | None]


class PutBack:
    """The guards that the statements of a plan make, in order."""

    def __init__(self) -> None:
        self.order = 0
        self._doubtful = False
        self._last: dict[Key, int] = {}  #: what was put back → when, the last time
        self._relations: dict[Name, int] = {}  #: what a name means from then on

    def note(self, node: sql.Node, kind: str, *, surely: bool) -> None:
        self.order += 1
        match kind:
            case "CreateTrigStmt" if surely:
                self._last["trigger", sql.relation(node.relation), node.trigname] = self.order
            case "CreatePolicyStmt" if surely:
                self._last["policy", sql.relation(node.table), node.policy_name] = self.order
            case "RuleStmt" if surely:
                self._last["rule", sql.relation(node.relation), node.rulename] = self.order
            case "ViewStmt" if surely:
                self._relations[sql.relation(node.view)] = self.order
            case "CreateStmt" if surely and not node.if_not_exists:
                self._relations[sql.relation(node.relation)] = self.order
            case "RenameStmt" if node.rename_type == pg.OBJECT_TABLE:
                self._doubtful = True
                self._relations[Name(node.relation.schemaname or None, node.newname)] = self.order if surely else -1
            case "AlterTableStmt" if surely and not node.missing_ok:
                self._alter(node)
            case _:
                self._doubtful |= kind in RENAMES or makes_names_doubtful(node, kind)

    def _alter(self, node: sql.Node) -> None:
        table = sql.relation(node.relation)
        for command in commands(node):
            if command.subtype in UNDOING:
                self._last[command.subtype, table, command.name or None] = self.order
            elif command.subtype == pg.AT_AddConstraint:
                constraint = getattr(command, "def").constraint
                if constraint.conname and (constraint.is_enforced or constraint.contype not in CHECKED):
                    self._last["constraint", table, constraint.conname] = self.order

    def is_undone(self, hit: Hit, *, since: int) -> bool:
        """Tell whether a later statement takes back what a statement does, so that nothing is left of it."""
        subtype = UNDONE_BY.get(hit.part.subtype) if hit.part is not None else None
        return subtype is not None and self._is_back((subtype, hit.name, hit.column), since)

    def has_successor(self, hit: Hit, *, since: int) -> bool:
        """Tell whether a view or table takes the name of a renamed one."""
        return self._relations.get(hit.name, -1) >= since

    def is_made_again(self, hit: Hit, *, since: int) -> bool:
        """Tell whether a guard that a statement drops is made again, by the same name."""
        return self._is_back((hit.kind, hit.name, hit.column), since)

    def _is_back(self, key: Key, since: int) -> bool:
        return not self._doubtful and self._last.get(key, -1) >= since


#: Constraints that can be there without being enforced.
CHECKED = frozenset({pg.CONSTR_FOREIGN, pg.CONSTR_CHECK})
#: After one of these a name may be another object.
RENAMES = frozenset({"RenameStmt", "AlterObjectSchemaStmt"})


class RolledBack:
    """The stretches of a plan that a ROLLBACK TO SAVEPOINT takes back."""

    def __init__(self) -> None:
        self._savepoints: list[tuple[str, int]] = []
        self._undone: list[tuple[int, int]] = []

    def note(self, node: sql.Node, kind: str, order: int) -> None:
        if kind != "TransactionStmt":
            return
        if node.kind == pg.TRANS_STMT_SAVEPOINT:
            self._savepoints.append((node.savepoint_name, order))
            return
        place = max((n for n, (name, _) in enumerate(self._savepoints) if name == node.savepoint_name), default=None)
        if place is None:
            return  # a driver set it: where, no text tells
        if node.kind == pg.TRANS_STMT_ROLLBACK_TO:
            self._undone.append((self._savepoints[place][1], order))
            del self._savepoints[place + 1 :]
        elif node.kind == pg.TRANS_STMT_RELEASE:
            del self._savepoints[place:]

    def takes(self, order: int) -> bool:
        """Tell whether what stood at this place of the plan is taken back."""
        return any(start < order < end for start, end in self._undone)
