"""The member ``lifecycle``: one spelling, and nothing read that was not written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretd import limits
from secretd.core import lifecycleform as form
from secretd.crypto import canonical
from secretd.errors import StoreCorruptError
from secretd.lifecycle import NOTHING_BEFELL, Lifecycle, Reference, ReferenceKind

_MOMENTS = st.none() | st.integers(0, 2**63 - 1)
_CONSUMERS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=8)
LIFECYCLES = st.builds(
    lambda archived, due, protected, kinds: Lifecycle(
        archived, due, protected, tuple(Reference(one, kinds[one]) for one in sorted(kinds))
    ),
    _MOMENTS,
    _MOMENTS,
    st.booleans(),
    st.dictionaries(_CONSUMERS, st.sampled_from(ReferenceKind), max_size=limits.REFERENCES),
)

_WHOLE: dict[str, Any] = {"archived": 1, "due": None, "protected": True, "references": [["a", "active"]]}
REFUSED: dict[str, Any] = {
    "a member more": {**_WHOLE, "more": None},
    "a member less": {name: _WHOLE[name] for name in ("archived", "due", "protected")},
    "no object": ["archived", "due", "protected", "references"],
    "nothing, at length": {"archived": None, "due": None, "protected": False, "references": []},
    "a moment that is true": {**_WHOLE, "archived": True},
    "a moment with a fraction": {**_WHOLE, "due": 1.0},
    "a moment before all moments": {**_WHOLE, "due": -1},
    "a moment after all moments": {**_WHOLE, "due": 2**63},
    "protected by a number": {**_WHOLE, "protected": 1},
    "a consumer out of order": {**_WHOLE, "references": [["b", "active"], ["a", "active"]]},
    "a consumer twice": {**_WHOLE, "references": [["a", "active"], ["a", "associated"]]},
    "a consumer with a space": {**_WHOLE, "references": [["a b", "active"]]},
    "a consumer that is a number": {**_WHOLE, "references": [[1, "active"]]},
    "a kind that is none": {**_WHOLE, "references": [["a", "idle"]]},
    "too many consumers": {
        **_WHOLE,
        "references": [[f"{number:03}", "active"] for number in range(limits.REFERENCES + 1)],
    },
}


@given(LIFECYCLES)
def test_what_is_written_is_read(lifecycle: Lifecycle) -> None:
    members = form.to_json(lifecycle)
    assert (members is None) == (lifecycle == NOTHING_BEFELL)
    assert form.from_json(members) == lifecycle
    if members is not None:
        # In the order of canonical JSON already, for who writes it without a sort.
        assert json.dumps(members, separators=(",", ":")).encode() == canonical.dump(members)


@pytest.mark.parametrize("members", REFUSED.values(), ids=REFUSED)
def test_what_is_not_written_is_refused(members: object) -> None:
    with pytest.raises(StoreCorruptError, match="a form this version does not know"):
        form.from_json(members)
