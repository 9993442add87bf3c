"""Which tables first: those that others refer to."""

from collections.abc import Mapping, Sequence

from migration_pipeline.domain.seeds import Table


def batches(tables: Sequence[Table], roots: Mapping[int, int]) -> list[list[Table]]:
    """Return the tables parents first. Those that need each other are one batch; a link that may be NULL is filled later.

    `roots` is the partitioned table of each partition: a foreign key names that one.
    """
    members: dict[int, list[int]] = {}
    for one in tables:
        members.setdefault(roots.get(one.oid, one.oid), []).append(one.oid)
    by_oid = {one.oid: one for one in tables}
    wanted = {one.oid: {oid for link in one.links for oid in members.get(link.parent, ())} for one in tables}
    needed = {
        one.oid: {oid for link in one.links if not one.nullable(link) for oid in members.get(link.parent, ())} for one in tables
    }
    found = []
    for group in _components(list(by_oid), wanted):
        inner = {oid: needed[oid] & set(group) for oid in group}
        found += [[by_oid[oid] for oid in part] for part in _components(sorted(group), inner)]
    return found


def _components(oids: Sequence[int], edges: Mapping[int, set[int]]) -> list[list[int]]:
    """Return the strongly connected components, those that others need first (Tarjan, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    found: list[list[int]] = []
    for start in oids:
        work = [(start, iter(sorted(edges[start])))] if start not in index else []
        while work:
            oid, others = work[-1]
            if oid not in index:
                index[oid] = low[oid] = len(index)
                stack.append(oid)
            deeper = next((one for one in others if one not in index or one in stack), None)
            if deeper is not None and deeper not in index:
                work.append((deeper, iter(sorted(edges[deeper]))))
                continue
            if deeper is not None:
                low[oid] = min(low[oid], index[deeper])
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[oid])
            if low[oid] == index[oid]:
                found.append(sorted(stack[(at := stack.index(oid)) :]))
                del stack[at:]
    return found
