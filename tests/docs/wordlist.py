"""The words that prose and names must not use, and where. `words.py` applies this list.

To change a rule, change it here. To allow one use, add an entry to ALLOWED with the reason; an
entry that is not used any more fails the test.
"""

from __future__ import annotations

PATHS = (
    "README.md",
    "CHANGELOG.md",
    "docs",
    "benches",
    "conformance",
    "src/langgraph/checkpoint/lmdb/codec",
    "src/langgraph/checkpoint/lmdb/format",
    "src/langgraph/checkpoint/lmdb/kv",
    "src/langgraph/checkpoint/lmdb/operations",
    "src/langgraph/checkpoint/lmdb/aio.py",
    "src/langgraph/checkpoint/lmdb/lmdb_saver.py",
    "src/langgraph/checkpoint/lmdb/models.py",
    "src/langgraph/checkpoint/lmdb/saver.py",
    "src/langgraph/checkpoint/lmdb/errors.py",
    "src/langgraph/checkpoint/lmdb/validation.py",
    "tests/codec",
    "tests/format",
    "tests/fuzz",
    "tests/conftest.py",
    "tests/stored.py",
    "tests/contract",
    "tests/docs",
    "tests/graphs",
    "tests/kv",
    "tests/encryption",
    "tests/engine",
    "tests/reliability",
    "tests/retention",
    "tests/saver",
    "tests/verification",
    "src/langgraph/checkpoint/lmdb/checking.py",
    "src/langgraph/checkpoint/lmdb/encryption",
    "src/langgraph/checkpoint/lmdb/engine",
    "src/langgraph/checkpoint/lmdb/run_state.py",
    "src/langgraph/checkpoint/lmdb/verification",
    "src/langgraph/checkpoint/lmdb/workflows",
    "tests/workflows",
    "src/langgraph/checkpoint/lmdb/snapshots",
    "src/langgraph/checkpoint/lmdb/views",
    "src/langgraph/checkpoint/lmdb/web",
    "tests/snapshots",
    "tests/views",
    "tests/web",
)
"""Files and folders to check. In folders: every .py and .md file."""

SKIPPED = ("benches/out/*", "tests/docs/wordlist.py", "tests/docs/test_words.py")
"""Patterns of paths in them that are not checked."""

OPENINGS = ("What", "Where", "Who", "Whose", "How", "Whether", "Why", "Which", "The same", "As `")
"""A docstring of a function or a class must not begin with these: begin with a verb or a noun."""

FUNCTION_OPENINGS = ("The", "A", "An", "All", "Those", "Its", "It", "None", "One")
"""Nor that of a function, except a property, a fixture or a test: begin with a verb ("Return")."""

WORDS = {
    # The actor is a component: thread, process, reader, writer, caller, store.
    r"nobody|somebody|whoever|everybody|anybody": "name the component",
    # Data does not move.
    r"goes|gone|went": "delete, remove, expire",
    r"goes on|go on|going on": "continue",
    r"stays": "is kept, remains",
    r"(take|takes|took|taken|taking) out": "remove",
    r"let go|lets go|letting go": "drop, release",
    r"let others|lets others": "allow other threads or processes",
    # Name the noun.
    r"such as are|such are|such is|of such|as such": "name the noun",
    r"those of|that of|of it|likewise": "name the noun",
    # Say what is wrong.
    r"(is|are) (?-i:none)": "invalid, missing, unknown, unsupported, empty",
    r"(?<!there )is no(?! longer)": "invalid, missing, unknown, unsupported, empty",
    r"that there is not|that there cannot be": "missing, unknown",
    # One plain word.
    r"but for": "except",
    r"meanwhile": "while ... runs",
    r"at once": "immediately, together, in one transaction",
    r"for ever": "forever, never expires",
    r"told": "reported, passed",
    r"anew": "again, rebuilt",
    r"unless told": "by default",
    r"by and by": "later",
    r"in vain": "without effect",
    r"mid-work|mid-run": "while ... runs",
}
"""Words and phrases, as regular expressions between word boundaries, and what to say instead."""

SPELLINGS = {
    r"\w*(serial|organ|recogn|initial|normal|summar|util|minim|maxim|priorit|custom|synchron"
    r"|categor|general|author|token|visual|random|memor|standard|emphas|patron|stabil)is"
    r"(e|ed|es|er|ers|ing|ation|ations|able)": "-ize, -ization",
    r"\w*(optim|real|final|special|material|capital)is(e|ed|es|er|ers|ing|ation|ations)": "-ize",
    r"\w*(behavio|colo|hono|favo|flavo|neighbo|labo|rumo|harbo|endeavo)ur(s|ed|ing|al|able|ite)?"
    r"": "-or",
    r"(centre|fibre|litre|metre|theatre)s?": "-er",
    r"(licence|defence|offence|pretence)s?": "-se",
    r"catalogues?|dialogues?|analogues?": "-og",
    r"analys(e|ed|es|ing)": "-yze",
    r"\w*(label|model|travel|level|signal)l(ed|ing|er|ers)": "one l",
    r"grey|programmes?|artefacts?|judgements?|ageing|whilst|amongst|learnt|spelt|fulfil|skilful"
    r"": "the American spelling",
}
"""British spellings, as regular expressions of whole words."""

ALLOWED = {
    ("benches/postgres_server.py", "nobody"): "the name of a user of the operating system",
}
"""Uses that are right: (path, the matching text in lower case) -> the reason."""
