"""Clauses about list with every combination of config, filter, before and limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import clause
from saver_conformance.parts import ALL
from saver_conformance.session import Ref, Session, at, checkpoint_id

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_LIST = "BaseCheckpointSaver.list: config, filter, before and limit"
_PLACES = [("a", ""), ("a", "child"), ("ab", ""), ("b", "child")]
_COUNT = 4

#: Metadata of the checkpoints of one namespace; the next namespace starts with the next entry.
_METADATA: list[dict[str, Any]] = [
    {"n": 1, "user": "ann", "tags": ["a"], "flag": True, "only": "x", "score": 1.5},
    {"n": "1", "user": "", "tags": "a", "flag": False, "score": 2},
    {"n": 10, "user": "anna", "tags": {"a": ["a"]}, "flag": True, "only": "y"},
    {"n": 0, "user": "ann", "tags": [], "flag": False},
]

_CONFIGS: list[Any] = [
    None,
    at("a", None),
    at("a", ""),
    at("b", "child"),
    at("a", None, checkpoint_id(1)),
    at("a", "", checkpoint_id(2)),
    at("none", None),
]
_KINDS = _CONFIGS[:3]

#: Without values that are members or parts of others: list.filter.subset has those.
_FILTERS: list[Any] = [
    None,
    {},
    {"n": 1},
    {"n": "1"},
    {"user": "ann"},
    {"user": ""},
    {"tags": ["a"]},
    {"tags": {"a": ["a"]}},
    {"flag": False},
    {"score": 1.5},
    {"score": 2},
    {"only": "x"},
    {"missing": "x"},
    {"user": "ann", "n": 0},
    {"user": "ann", "missing": 0},
]

_BEFORES: list[Any] = [
    None,
    at("a", "", checkpoint_id(0)),
    at("b", "child", checkpoint_id(2)),
    at("a", "", checkpoint_id(9)),
]

_LIMITS = [None, 1, 2, 3, 100]


def _fill(s: Session) -> None:
    for shift, (thread, ns) in enumerate(_PLACES):
        for number in range(_COUNT):
            extra = _METADATA[(number + shift) % len(_METADATA)]
            metadata = {"source": "loop", "step": number, **extra}
            ref = s.put(Ref(thread, checkpoint_id(number), ns), metadata=metadata)
            s.put_writes(ref, [("a", [shift, number])])


def _some(values: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2)


@clause(
    "list.matrix",
    source=_LIST,
    capability=Capability.LIST,
    presumes=["list.filter", "list.limit", "list.before.strict", "list.everything", "list.by_id"],
    cases=[
        # Everything combined for three kinds of config, then each filter with every config.
        *(([config], _FILTERS[3:6], _BEFORES, _LIMITS) for config in _KINDS),
        (_KINDS, _FILTERS, _BEFORES[2:3], [2]),
        (_CONFIGS, _FILTERS[:9], [None], [None]),
        (_CONFIGS, _FILTERS[9:], [None], [None]),
        (_CONFIGS[3:], [None, {"user": "ann"}], _BEFORES, _LIMITS[:3]),
    ],
)
def matrix(s: Session, data: DataObject) -> None:
    """Every combination of config, filter, before and limit lists the matching checkpoints."""
    drawn = [data.draw(_some(values)) for values in (_CONFIGS, _FILTERS, _BEFORES, _LIMITS)]
    configs, filters, befores, limits = drawn
    _fill(s)
    for config in configs:
        for wanted in filters:
            for before in befores:
                for limit in limits:
                    options = {"filter": wanted, "before": before, "limit": limit}
                    s.expect_list(config, **{k: v for k, v in options.items() if v is not None})


@clause(
    "list.matrix.paging",
    source="get_state_history(filter=..., before=..., limit=...) pages through the history",
    capability=Capability.LIST,
    presumes=["list.paging", "list.filter"],
    cases=[
        (ns, wanted, size)
        for ns in ("", "child")
        for wanted in (None, {"user": "ann"}, {"flag": True})
        for size in (1, 2)
    ],
)
def filtered_pages(s: Session, data: DataObject) -> None:
    """Filtered pages of whole tuples that start before the last tuple reach the end."""
    ns = data.draw(st.sampled_from(["", "child"]))
    wanted = data.draw(st.sampled_from([None, {"user": "ann"}, {"flag": True}]))
    size = data.draw(st.integers(1, 3))
    _fill(s)
    page = s.expect_list(at("a", ns), *ALL, filter=wanted, limit=size)
    for _ in range(_COUNT):
        if page:
            last = at("a", ns, page[-1].checkpoint["id"])
            page = s.expect_list(at("a", ns), *ALL, filter=wanted, before=last, limit=size)


@clause(
    "list.filter.missing",
    source="BaseCheckpointSaver.list does not specify it; InMemorySaver and SqliteSaver agree",
    capability=Capability.LIST,
    unspecified=True,
    presumes=["list.filter"],
    cases=[("missing",), ("only",)],
)
def missing(s: Session, data: DataObject) -> None:
    """A filter value of None matches checkpoints without the key."""
    _fill(s)
    s.expect_list(at("a", None), filter={data.draw(st.sampled_from(["missing", "only"])): None})
