"""What every property here shares: how many inputs it makes, what a clear message is, and what "nothing written" means."""

import hashlib
import re
import stat
from collections import Counter

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from migration_pipeline import errors

CANARY = "c4nary_S3cret"  #: stands in every password and in every value that a message must not repeat

#: property → inputs, and how many of these are bad at the least: the others are as right as what they were made of
INPUTS = {
    "settings files": (2000, 1900),
    "settings files of one wrong key": (1200, 1100),
    "settings files that are none": (60, 50),
    "environment variables": (1400, 1200),
    "folders of Dagster": (150, 100),
    "database URLs": (2800, 2400),
    "manifests": (1500, 1200),
    "backup folders": (250, 180),
    "backup names": (400, 390),
    "comments of revisions": (2000, 1500),
    "safety files": (1100, 1000),
    "revision files": (14, 12),
    "command lines": (300, 260),
}
TOTAL = 10_000


class Tally:
    """Counts what became of the inputs of one property."""

    def __init__(self, name):
        self.name = name
        self.inputs, self.bad = INPUTS[name]
        self.became = Counter()
        self.settings = settings(
            max_examples=self.inputs,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large],
        )

    def run(self, prove):
        """Run the property over its inputs, and hold the count against the table."""
        self.settings(prove)()
        assert self.became.total() >= self.inputs, self
        assert self.became["refused"] >= self.bad, self
        print(self)

    def refused(self, *of_one_input):
        """Count an input that ended in errors, which must be clear ones."""
        for error in of_one_input:
            assert_clear(error)
        self.became["refused"] += 1

    def value(self):
        self.became["value"] += 1

    def __repr__(self):
        return f"{self.name}: {dict(self.became)}"


ESCAPES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
LONGEST = 60  # lines


def assert_clear(error):
    """What (one sentence), indented evidence, Next: no traceback, no Python, no secret, nothing that drives a terminal."""
    assert isinstance(error, errors.MigrationPipelineError), repr(error)
    assert error.exit_code in {1, 2, 3}
    assert_shows_nothing(str(error))
    what, *rest = str(error).split("\n")
    *evidence, following = rest or [what]
    assert re.fullmatch(r"\S.*[.)]|No recent backup found\. .*: just backup-db", what), what
    assert all(line.startswith("  ") for line in (evidence if following.startswith("Next: ") else rest)), rest
    assert re.fullmatch(r"Next: \S.*", following) or what.endswith("just backup-db"), str(error)
    assert "please" not in "\n".join(
        line.lower() for line in [what, following] if "CommandError" not in line
    )  # Alembic's own word
    assert len(rest) < LONGEST, len(rest)
    assert max(map(len, str(error).split("\n"))) < 3000, str(error)[:200]


def assert_shows_nothing(text):
    """No secret, no trace of Python, and no character that a terminal obeys."""
    assert CANARY not in text
    assert not re.search(r"Traceback|<class|<function|object at 0x| File \"", text), text
    assert not ESCAPES.search(text), ascii(text)


def snapshot(folder):
    """Everything below a folder, links as links: kinds, sizes, times and hashes."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        state = path.lstat()
        content = hashlib.sha256(path.read_bytes()).digest() if stat.S_ISREG(state.st_mode) and state.st_size else None
        found[path] = (state.st_mode, state.st_size, state.st_mtime_ns, content)
    return found


#: What is odd to some reader: of TOML, URLs, JSON, Python, a terminal, a file system, libpq's files or rich's markup.
ODD = (
    "", " ", "\n", "\r", "\r\n", "\t", "\x0b", "\x0c", "\x00", "\x1b[2J", "\x07", "\x7f", "\x85", "\x9b31m", "\u2028", "\u202e",
    "\ufeff", "\xa0", "\u200b", "ａ", "А", "é", "\U0001f9ea", "\U0010ffff", "[/x]", "[bold]", "{x}", "%", "%%", "%0", "%0A", "%00",
    "%ff", "%s", "\\", "\\u0000", '"', "'", '"""', "`", "$(x)", ";", "--", "#", "=", ":", "/", "//", "../", "~", "@", "&", "?", "*",
    "(", ")", "[", "]", "[[", "{", "}", ",", "0", "-1", "9" * 30, "1e999", "nan", "null", "true", "None", "x" * 300,
)  # fmt: skip


def made(make):
    """A strategy for what a function makes of a random generator: one draw an input, so that thousands take seconds."""
    return st.randoms(use_true_random=True).map(make)


def edited(random, text, pieces=ODD, most=3):
    """Return a valid text with a few edits: a piece put in, a stretch taken out, doubled, or replaced, or the end cut off."""
    for _ in range(random.randint(1, most)):
        start = random.randint(0, len(text))
        end = min(len(text), start + random.randint(0, 12))
        piece = random.choice(pieces)
        match random.randint(0, 8):
            case 0 | 1:
                text = text[:start] + piece + text[start:]
            case 2 | 3 | 4:
                text = text[:start] + piece + text[end:]
            case 5 | 6:
                text = text[:start] + text[end:]
            case 7:
                text = text[:end] + text[start:]
            case _:
                text = text[:start] + piece
    return text


def damaged(random, text):
    """Return the bytes of a text, at times damaged: a byte that is no UTF-8, odd ends of lines, half a file, UTF-16."""
    content = text.encode("utf-8", "surrogatepass")
    place = random.randint(0, len(content))
    ways = {
        0: lambda: content[:place] + random.randbytes(random.randint(1, 4)) + content[place:],
        1: lambda: content[:place] + b"\xff" + content[place + 1 :],
        2: lambda: content[:place],
        3: lambda: content.replace(b"\n", random.choice([b"\r", b"\r\n", b"\x00", b"\xe2\x80\xa8"])),
        4: lambda: b"\xef\xbb\xbf" + content,
        5: lambda: content.decode("utf-8", "replace").encode("utf-16"),
    }
    return ways.get(random.randint(0, 15), lambda: content)()
